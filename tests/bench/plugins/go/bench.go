// The benchmark's plugin in Go; ../README.md says what its shapes do.
package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"offtake"
)

type bench struct {
	shape, column string
	bothImages    bool
}

func init() { offtake.Register(&bench{}) }

func main() {}

func (plugin *bench) Configure(config *offtake.Config) (offtake.Info, error) {
	plugin.shape = config.Text("shape")
	plugin.column = config.TextOr("column", "email")
	plugin.bothImages = config.BoolOr("both_images", false)
	return offtake.Info{Name: "bench", Version: "1.0.0"}, config.Finish()
}

func (plugin *bench) OnSchema(schema *offtake.Schema, interest *offtake.Interest) error {
	want := func(names ...string) {
		for _, name := range names {
			interest.WantColumn(schema.Ordinal(name))
		}
	}
	switch plugin.shape {
	case "empty":
		want("email")
	case "mask1":
		want(plugin.column)
	case "mask3":
		want("email", "phone", "name")
	case "filter":
		want("amount")
	case "add":
		want("email")
		interest.AddColumn(column("domain", offtake.KindText, "text"))
	case "fan_out":
		want("id", "email")
		interest.AddOutput(offtake.Output{Name: "contacts", Columns: []offtake.ColumnInfo{
			column("id", offtake.KindInt64, "int8"), column("email", offtake.KindText, "text"),
		}})
	case "json":
		want("record")
	default:
		return offtake.Refuse("config: `shape` is unknown")
	}
	if plugin.bothImages {
		interest.WantBeforeImages()
	}
	return nil
}

func column(name string, kind offtake.Kind, logical string) offtake.ColumnInfo {
	return offtake.ColumnInfo{Name: name, Kind: kind, Logical: logical, Nullable: true}
}

func (plugin *bench) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	switch plugin.shape {
	case "mask1":
		mask(batch, verdict, plugin.column)
	case "mask3":
		mask(batch, verdict, "email")
		mask(batch, verdict, "phone")
		mask(batch, verdict, "name")
	case "filter":
		filter(batch, verdict)
	case "add":
		add(batch, verdict)
	case "fan_out":
		fanOut(batch, verdict)
	case "json":
		return masked(batch, verdict)
	}
	return nil
}

func mask(batch *offtake.Batch, verdict *offtake.Verdict, name string) {
	ordinal := batch.Schema().Ordinal(name)
	for _, image := range offtake.Images {
		column := batch.Column(image, ordinal)
		if column == nil {
			continue
		}
		for row := range column.Values(batch) {
			text := column.Bytes(row)
			kept := offtake.Prefix(text, 1)
			cell := verdict.Cell(image, ordinal, row)
			cell.Write(text[:kept])
			cell.WriteRepeated('*', offtake.Characters(text[kept:]))
		}
	}
}

// after is the column of that name in the after image, which was wanted.
func after(batch *offtake.Batch, name string) *offtake.Column {
	return batch.Column(offtake.After, batch.Schema().Ordinal(name))
}

func filter(batch *offtake.Batch, verdict *offtake.Verdict) {
	amounts := after(batch, "amount")
	for row := range amounts.Values(batch) {
		if amounts.Int64(row) < 1000 {
			verdict.Drop(row)
		}
	}
}

func add(batch *offtake.Batch, verdict *offtake.Verdict) {
	emails := after(batch, "email")
	domain := len(batch.Schema().Columns)
	for row := range emails.Values(batch) {
		_, found, _ := bytes.Cut(emails.Bytes(row), []byte("@"))
		verdict.Cell(offtake.After, domain, row).SetBytes(found)
	}
}

func fanOut(batch *offtake.Batch, verdict *offtake.Verdict) {
	ids, emails := after(batch, "id"), after(batch, "email")
	for row := range batch.Rows() {
		emission := verdict.Emit(0, row, offtake.Created)
		emission.Cell(offtake.After, 0).SetFrom(ids, row)
		emission.Cell(offtake.After, 1).SetFrom(emails, row)
	}
}

func masked(batch *offtake.Batch, verdict *offtake.Verdict) error {
	records := after(batch, "record")
	for row := range records.Values(batch) {
		var record map[string]any
		if json.Unmarshal(records.Bytes(row), &record) != nil {
			return offtake.Refuse("the record is no JSON")
		}
		if email, is := record["email"].(string); is {
			kept := offtake.Prefix([]byte(email), 1)
			covered := offtake.Characters([]byte(email[kept:]))
			record["email"] = email[:kept] + strings.Repeat("*", covered)
		}
		text, err := json.Marshal(record)
		if err != nil {
			return offtake.Refuse("the record cannot be written")
		}
		verdict.Cell(offtake.After, records.Ordinal(), row).Write(text)
	}
	return nil
}
