// A plugin row by row in Go; ../README.md says what it does.
package main

import "offtake"

type rows struct{}

func init() { offtake.Register(rows{}) }

func main() {}

func (rows) Configure(config *offtake.Config) (offtake.Info, error) {
	return offtake.Info{
		Name: "rows", Version: "1.0.0", Protects: true, RequiredColumns: []string{"email"},
	}, config.Finish()
}

func (rows) OnSchema(schema *offtake.Schema, interest *offtake.Interest) error {
	for _, name := range []string{"id", "email", "status"} {
		if schema.Ordinal(name) < 0 {
			return nil
		}
	}
	interest.WantAllColumns()
	interest.WantBeforeImages()
	interest.AddOutput(offtake.Output{
		Name: "seen",
		Columns: []offtake.ColumnInfo{
			offtake.NewColumn("id", "int8").Required(),
			offtake.NewColumn("what", "text"),
		},
		Key:    []int{0},
		Stream: "seen",
	})
	return nil
}

func (rows) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	offtake.EachRow(batch, verdict, func(row *offtake.Row) error {
		if row.Has("email") {
			row.Set("email").SetText("***")
		}
		return nil
	})
	offtake.EachNewest(batch, verdict, func(row *offtake.Row) error {
		if status, _ := row.Text("status"); status == "internal" {
			row.Drop()
			return nil
		}
		if id, is := row.Int64("id"); is == offtake.Value {
			seen := row.Emit(0, offtake.Created)
			seen.Cell(offtake.After, 0).SetInt64(id)
			seen.Cell(offtake.After, 1).SetText(string(row.Operation()))
		}
		return nil
	})
	return nil
}
