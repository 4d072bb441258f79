// The counter in Go; ../README.md says what it does.
package main

import (
	"encoding/binary"

	"offtake"
)

// longestKey is the longest value in bytes that is counted: a key of the state may have 4096.
const longestKey = 4000

type counter struct {
	by, into      string
	last, seconds int64
}

func init() { offtake.Register(&counter{}) }

func main() {}

func (plugin *counter) Configure(config *offtake.Config) (offtake.Info, error) {
	plugin.by, plugin.into = config.Text("by"), config.Text("into")
	plugin.last = config.Int64Or("last", 0)
	plugin.seconds = config.Int64Or("seconds", offtake.NoEnd)
	return offtake.Info{Name: "counter", Version: "1.0.0", Stateful: true}, config.Finish()
}

func (plugin *counter) OnSchema(schema *offtake.Schema, interest *offtake.Interest) error {
	ordinal := schema.Ordinal(plugin.by)
	if ordinal < 0 {
		return nil
	}
	if schema.Columns[ordinal].Kind != offtake.KindText {
		return schema.Refuse(ordinal, "texts are counted only")
	}
	interest.WantColumn(ordinal)
	interest.AddColumn(offtake.ColumnInfo{
		Name: plugin.into, Kind: offtake.KindInt64, Logical: "int8", Nullable: true,
	})
	return nil
}

func (plugin *counter) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	column := batch.Column(offtake.After, batch.Schema().Ordinal(plugin.by))
	if column == nil {
		return nil
	}
	var keys [][]byte
	places := map[string]int{}
	placeOf := make([]int, batch.Rows())
	for row := range placeOf {
		placeOf[row] = -1
		if column.Presence(row) != offtake.Value {
			continue
		}
		key := column.Text(row)
		if len(key) > longestKey {
			verdict.Fail(row, offtake.Refuse("a value of column "+plugin.by+" is too long to be a key"))
			continue
		}
		place, known := places[key]
		if !known {
			place = len(keys)
			places[key] = place
			keys = append(keys, []byte(key))
		}
		placeOf[row] = place
	}
	counts := make([]int64, len(keys))
	for place, value := range offtake.State.GetMany(keys) {
		if value != nil {
			counts[place] = int64(binary.LittleEndian.Uint64(value))
		}
	}
	for row, place := range placeOf {
		if place >= 0 {
			counts[place]++
			into := len(batch.Schema().Columns)
			verdict.Cell(offtake.After, into, row).SetInt64(counts[place])
			if counts[place] == plugin.last {
				counts[place] = 0
			}
		}
	}
	plugin.keep(keys, counts)
	return nil
}

func (plugin *counter) keep(keys [][]byte, counts []int64) {
	var kept []offtake.Entry
	var forgotten [][]byte
	for place, key := range keys {
		if counts[place] == 0 {
			forgotten = append(forgotten, key)
			continue
		}
		value := binary.LittleEndian.AppendUint64(nil, uint64(counts[place]))
		kept = append(kept, offtake.Entry{Key: key, Value: value})
	}
	if len(kept) > 0 {
		offtake.State.PutMany(kept, plugin.seconds)
	}
	if len(forgotten) > 0 {
		offtake.State.DeleteMany(forgotten)
	}
}
