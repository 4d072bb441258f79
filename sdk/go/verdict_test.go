package offtake

import (
	"strconv"
	"strings"
	"testing"
)

// rows has three rows of which the columns id and name are sent.
func rows() *frame {
	return batchOf(3, 2, 0, 0, "cud").column(0, KindInt64, "").u64(1, 2, 3).
		column(1, KindText, "010").packed("a", "", "c")
}

func some(_ *Schema, interest *Interest) error {
	interest.WantColumn(0)
	interest.WantColumn(1)
	interest.AddColumn(ColumnInfo{Name: "seen", Kind: KindText, Logical: "text", Nullable: true})
	interest.AddOutput(Output{Name: "log", Columns: []ColumnInfo{
		{Name: "n", Kind: KindInt64, Logical: "int8", Nullable: true},
		{Name: "t", Kind: KindText, Logical: "text", Nullable: true}}})
	return nil
}

// verdictOf is what such a plugin answers to rows.
func verdictOf(t *testing.T, process func(*Batch, *Verdict) error) string {
	t.Helper()
	plugin(t, some, process)
	return call(rows())
}

func expect(t *testing.T, answer string, expected *frame) {
	t.Helper()
	if answer != string(expected.bytes) {
		t.Errorf("\n%x is not\n%x", answer, expected.bytes)
	}
}

func TestRowsAsAWhole(t *testing.T) {
	answer := verdictOf(t, func(_ *Batch, verdict *Verdict) error {
		verdict.Drop(0)
		verdict.Drop(2)
		verdict.SetOperation(1, Deleted)
		verdict.Fail(1, Retry("why"))
		return nil
	})
	expect(t, answer, (&frame{}).raw("OTV1").u32(3).
		u32(1, 8, 0, 2).
		u32(3, 8, 1, 'd').
		u32(6, 16, 1, 0, 3).raw("why").pad(8))
}

func TestWhereRowsGo(t *testing.T) {
	answer := verdictOf(t, func(_ *Batch, verdict *Verdict) error {
		verdict.SetStream(0, "other")
		verdict.AddHeader(1, "name", []byte{0, 255})
		verdict.RemoveHeader(2, "gone")
		verdict.SetPartition(0, 7)
		verdict.SetPartition(2, 0xffffffff)
		return nil
	})
	expect(t, answer, (&frame{}).raw("OTV1").u32(4).
		u32(4, 36, 1, 0, 1, 5).raw("other").pad(4).u32(0, 0, 0).pad(8).
		u32(4, 40, 1, 1, 0, 0, 1, 4).raw("name").u32(2).raw("\x00\xff").pad(4).u32(0).pad(8).
		u32(4, 32, 1, 2, 0, 0, 0, 1, 4).raw("gone").pad(8).
		u32(4, 36, 2, 0, 2, 0, 2, 7, 0xffffffff, 0, 0).pad(8))
}

func TestCellsWriteInPiecesAndMayBeSetAnew(t *testing.T) {
	answer := verdictOf(t, func(_ *Batch, verdict *Verdict) error {
		cell := verdict.Cell(After, 6, 0)
		cell.WriteString("gone")
		cell.SetText("a")
		cell.WriteByte('b')
		cell.WriteRepeated('*', 130)
		cell.WriteInt64(-1 << 63)
		cell.WriteUint64(1<<64 - 1)
		verdict.Cell(After, 0, 1).SetInt64(5)
		cell = verdict.Cell(After, 6, 2)
		cell.WriteString("secret")
		cell.SetNull()
		cell = verdict.Cell(After, 0, 2)
		cell.SetMissing(Unchanged)
		cell.SetInt64(-1)
		return nil
	})
	text := "ab" + strings.Repeat("*", 130) + "-922337203685477580818446744073709551615"
	seen := (&frame{}).u32(1, 2, 0, 2).pad(8).column(6, KindText, "01").
		u32(0, uint32(len(text)), uint32(len(text))).raw(text).pad(8)
	id := (&frame{}).u32(1, 2, 1, 2).pad(8).column(0, KindInt64, "00").u64(5, 1<<64-1)
	expect(t, answer, (&frame{}).raw("OTV1").u32(2).
		u32(2, uint32(len(seen.bytes))).raw(string(seen.bytes)).
		u32(2, uint32(len(id.bytes))).raw(string(id.bytes)))
}

func TestEmittedRowsAreFilledUp(t *testing.T) {
	emit := func(_ *Batch, verdict *Verdict) error {
		verdict.Emit(0, 0, Created).Cell(After, 0).SetInt64(1)
		row := verdict.Emit(0, 1, Deleted)
		row.Cell(Before, 1).SetText("gone")
		row.SetStream("s")
		row.AddHeader("a", []byte("b"))
		row.AddHeader("c", nil)
		verdict.Emit(0, 1, Created)
		return nil
	}
	body := (&frame{}).u32(0, 3, 0, 1, 1).raw("cdc").pad(4).
		u32(3, 0, 1).raw("s").pad(4).u32(0).
		u32(0).
		u32(1, 1, 2, 1).raw("a").pad(4).u32(1).raw("b").pad(4).u32(1).raw("c").pad(4).u32(0).
		u32(1, 1).pad(8)
	body.column(0, KindInt64, "011").u64(1, 0, 0)
	body.column(1, KindText, "303").u32(0, 0, 4, 4).raw("gone").pad(8)
	expected := (&frame{}).raw("OTV1").u32(1, 5, uint32(len(body.bytes))).raw(string(body.bytes))
	expect(t, verdictOf(t, emit), expected)
	// And nothing of it is left in the next call.
	expect(t, call(rows()), expected)
	if answer := verdictOf(t, func(*Batch, *Verdict) error { return nil }); answer != "" {
		t.Errorf("%x", answer)
	}
}

func TestMistakesOfThePluginFailTheCallByName(t *testing.T) {
	for expected, process := range map[string]func(*Batch, *Verdict){
		"a column was set that there is not": func(_ *Batch, v *Verdict) {
			v.Cell(After, 9, 0).SetText("x")
		},
		"a column was set to a value of another kind": func(_ *Batch, v *Verdict) {
			v.Cell(After, 1, 0).SetInt64(1)
		},
		"a column's rows were set out of order, or one twice": func(_ *Batch, v *Verdict) {
			v.Cell(After, 1, 1)
			v.Cell(After, 1, 1)
		},
		"a row was emitted on an output that was not declared": func(_ *Batch, v *Verdict) {
			v.Emit(1, 0, Created).Cell(After, 0).SetNull()
		},
		"an emitted row's column was set twice": func(_ *Batch, v *Verdict) {
			row := v.Emit(0, 0, Created)
			row.Cell(After, 0)
			row.Cell(After, 0)
		},
		"some emitted rows of an output were given a partition, others not": func(_ *Batch, v *Verdict) {
			v.Emit(0, 0, Created).SetPartition(1)
			v.Emit(0, 1, Created)
		},
		"the column id of the before image was read, and was not wanted": func(b *Batch, v *Verdict) {
			EachRow(b, v, func(row *Row) error { row.Has("id"); return nil })
		},
		"the column big of the after image was read, and was not wanted": func(b *Batch, v *Verdict) {
			EachRow(b, v, func(row *Row) error { row.Uint64("big"); return nil })
		},
		"the column id is of kind int64, and was read as text": func(b *Batch, v *Verdict) {
			EachRow(b, v, func(row *Row) error { row.Text("id"); return nil })
		},
	} {
		answer := verdictOf(t, func(batch *Batch, verdict *Verdict) error {
			process(batch, verdict)
			return nil
		})
		expect(t, answer, (&frame{}).raw("OTF1").u32(1, uint32(len(expected))).raw(expected).pad(4))
	}
}

func TestAColumnThatATableDoesNotHaveCannotBeSet(t *testing.T) {
	expected := "a column was set that there is not"
	answer := verdictOf(t, func(batch *Batch, verdict *Verdict) error {
		// As Ordinal names it, and as the first cell of a call.
		verdict.Cell(Before, batch.Schema().Ordinal("none"), 0).WriteString("x")
		return nil
	})
	expect(t, answer, (&frame{}).raw("OTF1").u32(1, uint32(len(expected))).raw(expected).pad(4))
}

func TestAnErrorThatIsNoFailureIsToldByItsTypeAlone(t *testing.T) {
	process := func(*Batch, *Verdict) error {
		_, err := strconv.Atoi("secret")
		return err
	}
	answer := verdictOf(t, process)
	if !strings.HasPrefix(answer, "OTF1\x01") || !strings.Contains(answer, "*strconv.NumError") ||
		strings.Contains(answer, "secret") {
		t.Errorf("%q", answer)
	}
	row := verdictOf(t, func(batch *Batch, verdict *Verdict) error {
		EachRow(batch, verdict, func(*Row) error { return process(nil, nil) })
		return nil
	})
	if strings.Contains(row, "secret") || strings.Count(row, "*strconv.NumError") != 3 {
		t.Errorf("%q", row)
	}
}

func TestRowsOneByOne(t *testing.T) {
	seen := ""
	answer := verdictOf(t, func(batch *Batch, verdict *Verdict) error {
		EachRow(batch, verdict, func(row *Row) error {
			if row.Operation() == Deleted {
				row.Choose(After)
			}
			id, has := row.Int64("id")
			name, is := row.Text("name")
			_, none := row.Float64("nowhere")
			seen += strconv.Itoa(int(id)*10+int(has)) + name + strconv.Itoa(int(is)*10+int(none)) + " "
			switch row.Operation() {
			case Created:
				row.Set("seen").SetText("yes")
			case Updated:
				return Refuse("no")
			case Deleted:
				row.Drop()
			}
			return nil
		})
		return nil
	})
	if seen != "10a3 2013 30c3 " {
		t.Error(seen)
	}
	set := (&frame{}).u32(1, 1, 0).pad(8).column(6, KindText, "").u32(0, 3).raw("yes").pad(8)
	expect(t, answer, (&frame{}).raw("OTV1").u32(3).
		u32(1, 4, 2).pad(8).
		u32(2, uint32(len(set.bytes))).raw(string(set.bytes)).
		u32(6, 16, 1, 1, 2).raw("no").pad(8))
}
