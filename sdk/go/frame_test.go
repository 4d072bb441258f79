package offtake

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// Frames written by hand, as abi.md says, and a plugin of functions.

type frame struct{ bytes []byte }

func (f *frame) u32(values ...uint32) *frame {
	for _, value := range values {
		f.bytes = binary.LittleEndian.AppendUint32(f.bytes, value)
	}
	return f
}

func (f *frame) u64(values ...uint64) *frame {
	for _, value := range values {
		f.bytes = binary.LittleEndian.AppendUint64(f.bytes, value)
	}
	return f
}

func (f *frame) raw(text string) *frame {
	f.bytes = append(f.bytes, text...)
	return f
}

func (f *frame) pad(to int) *frame {
	for len(f.bytes)%to != 0 {
		f.bytes = append(f.bytes, 0)
	}
	return f
}

func (f *frame) packed(values ...string) *frame {
	end := uint32(0)
	f.u32(end)
	for _, value := range values {
		end += uint32(len(value))
		f.u32(end)
	}
	for _, value := range values {
		f.raw(value)
	}
	return f.pad(8)
}

// column writes a column's head; presence is empty or has a digit a row.
func (f *frame) column(ordinal uint32, kind Kind, presence string) *frame {
	f.u32(ordinal)
	if presence == "" {
		return f.raw(string([]byte{byte(kind), 0, 0, 0}))
	}
	f.raw(string([]byte{byte(kind), 1, 0, 0}))
	for _, digit := range presence {
		f.bytes = append(f.bytes, byte(digit-'0'))
	}
	return f.pad(8)
}

func batchOf(rows, after, before, metadata uint32, operations string) *frame {
	f := (&frame{}).raw("OTB1").u32(3, rows, after, before, metadata)
	return f.raw(operations).pad(8)
}

type functions struct {
	configure func(*Config) (Info, error)
	onSchema  func(*Schema, *Interest) error
	process   func(*Batch, *Verdict) error
}

func (f functions) Configure(config *Config) (Info, error)       { return f.configure(config) }
func (f functions) OnSchema(schema *Schema, i *Interest) error   { return f.onSchema(schema, i) }
func (f functions) Process(batch *Batch, verdict *Verdict) error { return f.process(batch, verdict) }

const table = `{"id":3,"subject":"table","database":"shop","namespace":"public","table":"people",
"version":2,"columns":[
{"name":"id","kind":"int64","logical":"int8","native":"int8","nullable":false,"labels":[]},
{"name":"name","kind":"text","logical":"enum","native":"mood","nullable":true,"labels":["a","b"]},
{"name":"ok","kind":"boolean","logical":"bool","native":"bool","nullable":true,"labels":[]},
{"name":"big","kind":"uint64","logical":"uint8","native":"","nullable":true,"labels":[]},
{"name":"ratio","kind":"float64","logical":"float8","native":"float8","nullable":true,"labels":[]},
{"name":"raw","kind":"bytes","logical":"bytes","native":"bytea","nullable":true,"labels":[]}],
"key":[0],"before-columns":[0,1],"extra":[]}`

// given is a copy where the gateway would have written it.
func given(bytes []byte) []byte {
	place := room(len(bytes))
	copy(place, bytes)
	return argument(len(bytes))
}

// everything is what a plugin of these functions wants.
func everything(_ *Schema, interest *Interest) error {
	interest.WantAllColumns()
	interest.WantBeforeImages()
	return nil
}

// plugin registers a plugin that does this, and tells it the table.
func plugin(t *testing.T, onSchema func(*Schema, *Interest) error, process func(*Batch, *Verdict) error) {
	t.Helper()
	Register(functions{
		configure: func(*Config) (Info, error) { return Info{Name: "test", Version: "1"}, nil },
		onSchema:  onSchema, process: process,
	})
	if answer := string(callOnSchema(given([]byte(table)))); answer[:6] != `{"ok":` {
		t.Fatal(answer)
	}
}

func call(f *frame) string { return string(callProcess(given(f.bytes))) }

func TestTheExampleOfTheABIByteByByte(t *testing.T) {
	plugin(t, func(_ *Schema, interest *Interest) error {
		interest.WantColumn(0)
		interest.WantColumn(1)
		return nil
	}, func(batch *Batch, verdict *Verdict) error {
		if batch.Rows() != 1 || batch.Operation(0) != Created || batch.Column(Before, 0) != nil {
			t.Errorf("%d rows", batch.Rows())
		}
		if id, text := batch.Column(After, 0).Int64(0), batch.Column(After, 1).Text(0); id != 7 || text != "ab" {
			t.Errorf("%d %s", id, text)
		}
		verdict.Cell(After, 1, 0).SetNull()
		return nil
	})
	batch := batchOf(1, 2, 0, 0, "c").column(0, KindInt64, "").u64(7).
		column(1, KindText, "").packed("ab")
	expected := (&frame{}).raw("OTV1").u32(1, 2, 32, 1, 0, 1, 0x104, 1, 0, 0, 0)
	if answer := call(batch); answer != string(expected.bytes) {
		t.Errorf("%x\n%x", answer, expected.bytes)
	}
}

// columns has one of each kind in the after image, and one of the before image.
func columns() []*frame {
	column := func(ordinal uint32, kind Kind, presence string) *frame {
		return (&frame{}).column(ordinal, kind, presence)
	}
	return []*frame{
		column(0, KindInt64, "").u64(math.MaxInt64, 1<<63, 0),
		column(1, KindText, "").packed("𝄞é", "", "12345678901234567890.123456789012345678"),
		column(2, KindBoolean, "003").raw("\x01\x00\x00").pad(8),
		column(3, KindUint64, "001").u64(math.MaxUint64, 1, 0),
		column(4, KindFloat64, "").u64(0x7ff8000000000123, math.Float64bits(math.Inf(-1)), 1<<63),
		column(5, KindBytes, "020").packed("\x00\xff", "", ""),
		column(0, KindInt64, "310").u64(0, 0, 5),
	}
}

// full is a batch of them with all metadata.
func full() *frame {
	f := batchOf(3, 6, 1, 15, "cud")
	for _, column := range columns() {
		f.raw(string(column.bytes))
	}
	f.packed("0/1", "", "ü").raw("\x00\x01\x02").pad(8)
	f.u64(math.MaxUint64, 0, 1<<62)
	f.packed("771", "", "x").u64(1, 2, math.MaxUint64)
	return f.u32(1, 2, 1, 1).raw("n").pad(4).u32(2).raw("\xff\x00").pad(8)
}

func TestEveryValueAndItsLackComesThroughUnbent(t *testing.T) {
	seen := 0
	plugin(t, everything, func(batch *Batch, verdict *Verdict) error {
		seen++
		for _, image := range Images {
			for ordinal := range batch.Schema().Columns {
				if column := batch.Column(image, ordinal); column != nil {
					for row := range batch.Rows() {
						verdict.Cell(image, ordinal, row).SetFrom(column, row)
					}
				}
			}
		}
		after := func(ordinal int) *Column { return batch.Column(After, ordinal) }
		for name, fine := range map[string]bool{
			"int64":    after(0).Int64(0) == math.MaxInt64 && after(0).Int64s()[1] == math.MinInt64,
			"uint64":   after(3).Uint64(0) == math.MaxUint64 && after(3).Presence(2) == Null,
			"float64":  math.Float64bits(after(4).Float64(0)) == 0x7ff8000000000123 && math.Signbit(after(4).Float64(2)),
			"numeric":  after(1).Text(2) == "12345678901234567890.123456789012345678",
			"boolean":  after(2).Bool(0) && !after(2).Bool(1) && after(2).Presence(2) == Absent,
			"bytes":    string(after(5).Bytes(0)) == "\x00\xff" && after(5).Presence(1) == Unchanged,
			"before":   batch.Column(Before, 0).Presence(0) == Absent && batch.Column(Before, 0).Int64(2) == 5,
			"position": string(batch.Position(2)) == "ü" && batch.Snapshot(1) == SnapshotFirst,
			"commit":   batch.CommitTime(0) == -1 && batch.CommitTime(2) == 1<<62,
			"order":    string(batch.Transaction(0)) == "771" && batch.TransactionOrder(2) == math.MaxUint64,
			"headers":  len(batch.Headers(0)) == 0 && batch.Headers(2)[0].Name == "n" && string(batch.Headers(2)[0].Value) == "\xff\x00",
		} {
			if !fine {
				t.Error(name)
			}
		}
		return nil
	})
	answer := call(full())
	// The columns of the verdict are those of the batch, byte for byte.
	for at, column := range columns() {
		if !strings.Contains(answer, string(column.bytes)) {
			t.Errorf("%d: %x is not in %x", at, column.bytes, answer)
		}
	}
	if seen != 1 || len(answer) < 7*40 {
		t.Error("the plugin was not called")
	}
	// And once more: nothing of the call before is left.
	if again := call(full()); again != answer {
		t.Error("the second call differs from the first")
	}
}

func TestAFrameCutShortAnywhereIsRefusedAndDoesNotPanic(t *testing.T) {
	plugin(t, everything, func(*Batch, *Verdict) error {
		t.Error("the plugin was called with half a batch")
		return nil
	})
	whole := full().bytes
	// The last padding is of no value, so a frame without it is read.
	for length := range len(whole) - 7 {
		if answer := string(callProcess(given(whole[:length]))); answer[:4] != "OTF1" {
			t.Fatalf("%d bytes of %d: %q", length, len(whole), answer)
		}
	}
}

func TestNothingSaidIsTheEmptyVerdict(t *testing.T) {
	plugin(t, everything, func(*Batch, *Verdict) error { return nil })
	if answer := call(full()); answer != "" {
		t.Errorf("%x", answer)
	}
}

func TestRoomBeginsAtAMultipleOfEightAndIsUsedAgain(t *testing.T) {
	for _, length := range []int{0, 1, 8, 65_536, 65_537, keptBytes + 9, 3, 100} {
		place := room(length)
		if len(place) != length || address(input8())%8 != 0 {
			t.Errorf("%d bytes for %d, at %d", len(place), length, address(input8()))
		}
	}
	if len(input)*8 > keptBytes {
		t.Errorf("%d bytes are kept", len(input)*8)
	}
	first := &input[0]
	room(1000)
	if &input[0] != first {
		t.Error("a small argument was given a new place")
	}
}

func input8() []byte { return argument(8) }

func TestASteadyStreamAllocatesNothing(t *testing.T) {
	plugin(t, everything, func(batch *Batch, verdict *Verdict) error {
		for _, image := range Images {
			column := batch.Column(image, 1)
			if column == nil {
				continue
			}
			for row := range column.Values(batch) {
				cell := verdict.Cell(image, 1, row)
				cell.Write(column.Bytes(row)[:Prefix(column.Bytes(row), 1)])
				cell.WriteRepeated('*', Characters(column.Bytes(row)))
			}
		}
		return nil
	})
	batch := batchOf(2, 2, 0, 0, "cc").column(0, KindInt64, "").u64(1, 2).
		column(1, KindText, "").packed("some text", "𝄞 and more of it").bytes
	call := func() { callProcess(given(batch)) }
	call()
	if allocated := testing.AllocsPerRun(100, call); allocated != 0 {
		t.Errorf("%v allocations a call", allocated)
	}
}
