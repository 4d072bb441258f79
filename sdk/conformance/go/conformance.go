// The conformance plugin in Go; ../README.md says what it does. Here: configuration, interests, and
// the actions on values.
package main

import (
	"math"
	"slices"

	"offtake"
)

var actions = []string{"echo", "mask", "drop", "add", "fan-out", "route", "fail", "op"}

type conformance struct {
	action    string
	column    string
	keepFirst int
	// Of route: empty where there is none.
	stream, partition, header string
	whole                     bool
}

func init() { offtake.Register(&conformance{}) }

func main() {}

func (plugin *conformance) Configure(config *offtake.Config) (offtake.Info, error) {
	info := offtake.Info{Name: "conformance", Version: "1.0.0"}
	plugin.action = config.Text("action")
	if plugin.action != "" && !slices.Contains(actions, plugin.action) {
		return info, offtake.Refuse(
			"config: `action` is none of echo, mask, drop, add, fan-out, route, fail, op")
	}
	switch plugin.action {
	case "mask":
		plugin.column = config.Text("column")
		keep := config.Int64Or("keep_first", 0)
		if keep < 0 || keep > math.MaxUint32 {
			return info, offtake.Refuse("config: `keep_first` is no count of characters")
		}
		plugin.keepFirst = int(keep)
		info.Protects = true
		info.RequiredColumns = []string{plugin.column}
	case "drop":
		plugin.column = config.TextOr("column", "id")
	case "route":
		plugin.stream = config.TextOr("stream", "")
		plugin.partition = config.TextOr("partition", "")
		plugin.header = config.TextOr("header", "")
	case "fail":
		plugin.whole = config.BoolOr("whole", false)
	}
	return info, config.Finish()
}

func column(name string, kind offtake.Kind, logical string) offtake.ColumnInfo {
	return offtake.ColumnInfo{Name: name, Kind: kind, Logical: logical, Nullable: true}
}

// The columns of the output `seen`.
const (
	letter = iota
	position
	committed
	order
	created
	half
)

func seen() offtake.Output {
	output := offtake.Output{Name: "seen", Columns: []offtake.ColumnInfo{
		letter:    column("operation", offtake.KindText, "text"),
		position:  column("position", offtake.KindBytes, "bytes"),
		committed: column("committed", offtake.KindInt64, "int8"),
		order:     column("order", offtake.KindUint64, "uint8"),
		created:   column("created", offtake.KindBoolean, "bool"),
		half:      column("half", offtake.KindFloat64, "float8"),
	}}
	output.Columns[letter].Nullable = false
	return output
}

func (plugin *conformance) OnSchema(schema *offtake.Schema, interest *offtake.Interest) error {
	if plugin.action == "mask" {
		ordinal := schema.Ordinal(plugin.column)
		if ordinal < 0 {
			return nil
		}
		if schema.Columns[ordinal].Kind != offtake.KindText {
			return schema.Refuse(ordinal, "mask works on text columns only")
		}
	}
	interest.WantAllColumns()
	interest.WantBeforeImages()
	interest.WantHeaders()
	interest.WantPositions()
	interest.WantCommitTimes()
	interest.WantTransactions()
	if plugin.action == "add" && !schema.Message {
		interest.AddColumn(column("seen", offtake.KindText, "text"))
	}
	if plugin.action == "fan-out" {
		interest.AddOutput(seen())
	}
	return nil
}

func (plugin *conformance) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	switch plugin.action {
	case "echo":
		echo(batch, verdict)
	case "mask":
		plugin.mask(batch, verdict)
	case "drop":
		plugin.drop(batch, verdict)
	case "add":
		add(batch, verdict)
	case "fan-out":
		fanOut(batch, verdict)
	case "route":
		plugin.route(batch, verdict)
	case "fail":
		return plugin.fail(batch, verdict)
	case "op":
		for row := range batch.Rows() {
			if batch.Operation(row) == offtake.Updated {
				verdict.SetOperation(row, offtake.Deleted)
			}
		}
	}
	return nil
}

// valueAt is the column of that name in the image that counts, if the row has a value there.
func valueAt(batch *offtake.Batch, row int, name string) *offtake.Column {
	image := batch.Operation(row).Image()
	column := batch.Column(image, batch.Schema().Ordinal(name))
	if column == nil || !column.HasValue(row) {
		return nil
	}
	return column
}

func echo(batch *offtake.Batch, verdict *offtake.Verdict) {
	for _, image := range offtake.Images {
		for ordinal := range batch.Schema().Columns {
			column := batch.Column(image, ordinal)
			if column == nil {
				continue
			}
			for row := range batch.Rows() {
				verdict.Cell(image, ordinal, row).SetFrom(column, row)
			}
		}
	}
}

func (plugin *conformance) mask(batch *offtake.Batch, verdict *offtake.Verdict) {
	ordinal := batch.Schema().Ordinal(plugin.column)
	for _, image := range offtake.Images {
		column := batch.Column(image, ordinal)
		if column == nil {
			continue
		}
		for row := range column.Values(batch) {
			plugin.cover(verdict.Cell(image, ordinal, row), column.Bytes(row))
		}
	}
}

func (plugin *conformance) cover(cell *offtake.Cell, text []byte) {
	kept := offtake.Prefix(text, plugin.keepFirst)
	if kept == len(text) {
		kept = 0
	}
	cell.Write(text[:kept])
	cell.WriteRepeated('*', offtake.Characters(text[kept:]))
}

func (plugin *conformance) drop(batch *offtake.Batch, verdict *offtake.Verdict) {
	for row := range batch.Rows() {
		column := valueAt(batch, row, plugin.column)
		if column != nil && column.Kind() == offtake.KindInt64 && column.Int64(row)&1 == 1 {
			verdict.Drop(row)
		}
	}
}
