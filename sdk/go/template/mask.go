// A plugin to begin with: covers one text column but for its first characters.
//
// Configuration: { column = "email", keep_first = 1 }.
package main

import (
	"math"

	"offtake"
)

type mask struct {
	column    string
	keepFirst int
}

func init() { offtake.Register(&mask{}) }

// The gateway calls the plugin, not main.
func main() {}

// Configure is called once, at the start. What is refused here is shown by `offtake check`.
func (mask *mask) Configure(config *offtake.Config) (offtake.Info, error) {
	mask.column = config.Text("column")
	keep := config.Int64Or("keep_first", 0)
	if keep < 0 || keep > math.MaxUint32 {
		return offtake.Info{}, offtake.Refuse("config: `keep_first` is no count of characters")
	}
	mask.keepFirst = int(keep)
	return offtake.Info{
		Name:    "mask",
		Version: "1.0.0",
		// Without it the gateway would not know that a failure must let nothing pass.
		Protects:        true,
		RequiredColumns: []string{mask.column},
	}, config.Finish() // refuses a mistake above, and keys that nobody asked for
}

// OnSchema is called once a table: which columns the plugin wants to see.
func (mask *mask) OnSchema(schema *offtake.Schema, interest *offtake.Interest) error {
	ordinal := schema.Ordinal(mask.column)
	if ordinal < 0 {
		return nil
	}
	if !schema.Columns[ordinal].IsFreeText() {
		return schema.Refuse(ordinal, "mask works on text columns only")
	}
	interest.WantColumn(ordinal)
	interest.WantBeforeImages()
	return nil
}

// Process is called for up to 256 changes at a time: what becomes of them. What is not mentioned
// passes.
func (mask *mask) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	ordinal := batch.Schema().Ordinal(mask.column)
	for _, image := range offtake.Images {
		column := batch.Column(image, ordinal)
		if column == nil {
			continue
		}
		for row := range column.Values(batch) {
			text := column.Bytes(row)
			kept, covered := split(text, mask.keepFirst)
			cell := verdict.Cell(image, ordinal, row)
			cell.Write(text[:kept])
			cell.WriteRepeated('*', covered)
		}
	}
	return nil
}

// split gives the bytes of the first characters, which are kept, and the number of further ones,
// which are covered. A text that is no longer than what is kept is covered whole.
func split(text []byte, keep int) (kept, covered int) {
	kept = offtake.Prefix(text, keep)
	if kept == len(text) {
		kept = 0
	}
	return kept, offtake.Characters(text[kept:])
}
