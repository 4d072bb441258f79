// A plugin for the SDK's tests under node: what only shows in WebAssembly.
package main

import (
	"errors"
	"fmt"
	"strings"

	"offtake"
)

type probe struct {
	action string
	rows   offtake.Counter
	sizes  offtake.Histogram
	kept   []string
}

func init() { offtake.Register(&probe{}) }

func main() {}

func (probe *probe) Configure(config *offtake.Config) (offtake.Info, error) {
	probe.action = config.Text("action")
	probe.rows = offtake.NewCounter("rows")
	probe.sizes = offtake.NewHistogram("sizes")
	return offtake.Info{Name: "probe", Version: "1"}, config.Finish()
}

func (probe *probe) OnSchema(_ *offtake.Schema, interest *offtake.Interest) error {
	if probe.action == "panic on schema" {
		panic("on schema")
	}
	interest.WantAllColumns()
	return nil
}

func (probe *probe) Process(batch *offtake.Batch, verdict *offtake.Verdict) error {
	text := batch.Column(offtake.After, 0)
	switch probe.action {
	case "panic":
		panic(text.Text(0))
	case "index":
		return errors.New(probe.kept[text.Bytes(0)[0]])
	case "kind":
		verdict.Cell(offtake.After, 0, 0).SetInt64(text.Int64(0))
	case "metrics":
		offtake.Log(offtake.LevelWarn, "a line")
		probe.rows.Add(uint32(batch.Rows()))
		probe.sizes.Observe(1.5)
	case "garbage":
		for row := range batch.Rows() {
			fmt.Fprintf(verdict.Cell(offtake.After, 0, row), "%s %d", strings.ToUpper(text.Text(row)), row)
		}
	case "keep":
		// Strings may be kept from call to call.
		probe.kept = append(probe.kept, text.Text(0))
		verdict.Cell(offtake.After, 0, 0).SetText(strings.Join(probe.kept, ","))
	}
	return nil
}
