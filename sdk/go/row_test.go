package offtake

import (
	"strconv"
	"strings"
	"testing"
)

func names(_ *Schema, interest *Interest) error {
	interest.WantColumn(1)
	interest.WantBeforeImages()
	interest.AddOutput(Output{Name: "log", Columns: []ColumnInfo{NewColumn("n", "int8")}})
	return nil
}

// updates has a created row, an update with both images, one with an after image alone, one that the
// update left alone, and a deleted row.
func updates() *frame {
	return batchOf(5, 1, 1, 0, "cuuud").
		column(1, KindText, "00023").packed("a", "b", "c", "", "").
		column(1, KindText, "30330").packed("", "old b", "", "", "e")
}

func rowsOf(t *testing.T, process func(*Batch, *Verdict)) string {
	t.Helper()
	plugin(t, names, func(batch *Batch, verdict *Verdict) error {
		process(batch, verdict)
		return nil
	})
	return call(updates())
}

func set(image, ordinal uint32, rows []uint32, values ...string) *frame {
	body := (&frame{}).u32(image, uint32(len(rows))).u32(rows...).pad(8).
		column(ordinal, KindText, "").packed(values...)
	return (&frame{}).u32(2, uint32(len(body.bytes))).raw(string(body.bytes))
}

func upper(row *Row) error {
	if name, is := row.Text("name"); is == Value {
		row.Set("name").SetText(strings.ToUpper(name))
	}
	return nil
}

func TestARowThatIsMaskedIsMaskedInBothImages(t *testing.T) {
	answer := rowsOf(t, func(batch *Batch, verdict *Verdict) { EachRow(batch, verdict, upper) })
	// What of the two is set first is the after image of the first row.
	expect(t, answer, (&frame{}).raw("OTV1").u32(2).
		raw(string(set(1, 1, []uint32{0, 1, 2}, "A", "B", "C").bytes)).
		raw(string(set(0, 1, []uint32{1, 4}, "OLD B", "E").bytes)))
}

func TestTheNewestImageIsVisitedOnceAChange(t *testing.T) {
	visits := func(each func(*Batch, *Verdict, func(*Row) error)) string {
		seen := ""
		rowsOf(t, func(batch *Batch, verdict *Verdict) {
			each(batch, verdict, func(row *Row) error {
				seen += strconv.Itoa(row.Index())
				if row.IsBefore() {
					seen += "b"
				}
				row.Choose(Before)
				if row.IsNewest() {
					seen += "!"
				}
				seen += " "
				return nil
			})
		})
		return seen
	}
	if seen := visits(EachRow); seen != "0! 1b 1! 2! 3! 4b! " {
		t.Error(seen)
	}
	if seen := visits(EachNewest); seen != "0! 1! 2! 3! 4b! " {
		t.Error(seen)
	}
}

func TestAChangeIsDroppedAndFailedOnce(t *testing.T) {
	visited := 0
	answer := rowsOf(t, func(batch *Batch, verdict *Verdict) {
		EachRow(batch, verdict, func(row *Row) error {
			switch visited++; row.Index() {
			case 0:
				return nil
			case 1:
				return Refuse("no")
			}
			row.Drop()
			row.Drop()
			return nil
		})
	})
	if visited != 5 {
		t.Errorf("%d visits: one of a row that has failed", visited)
	}
	expect(t, answer, (&frame{}).raw("OTV1").u32(2).
		u32(1, 12, 2, 3, 4).pad(8).
		u32(6, 16, 1, 1, 2).raw("no").pad(8))
	twice := rowsOf(t, func(batch *Batch, verdict *Verdict) {
		EachRow(batch, verdict, func(row *Row) error { row.Drop(); return nil })
	})
	expect(t, twice, (&frame{}).raw("OTV1").u32(1).u32(1, 20, 0, 1, 2, 3, 4).pad(8))
}

func TestWhatIsOfAWholeChangeIsNotSaidTwice(t *testing.T) {
	const expected = "what is of a whole change was said in an image that is not its newest"
	said := map[string]func(*Row){
		"operation": func(row *Row) { row.SetOperation(Deleted) },
		"stream":    func(row *Row) { row.SetStream("other") },
		"partition": func(row *Row) { row.SetPartition(1) },
		"header":    func(row *Row) { row.AddHeader("a", nil) },
		"emission":  func(row *Row) { row.Emit(0, Created) },
	}
	for name, say := range said {
		all := func(row *Row) error { say(row); return nil }
		answer := rowsOf(t, func(batch *Batch, verdict *Verdict) { EachRow(batch, verdict, all) })
		if !strings.Contains(answer, expected) {
			t.Errorf("%s: %q", name, answer)
		}
		answer = rowsOf(t, func(batch *Batch, verdict *Verdict) { EachNewest(batch, verdict, all) })
		if !strings.HasPrefix(answer, "OTV1") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

func TestATruncateAndATableWithoutColumnsAreVisitedOnce(t *testing.T) {
	visits := 0
	count := func(batch *Batch, verdict *Verdict) error {
		EachRow(batch, verdict, func(*Row) error { visits++; return nil })
		return nil
	}
	plugin(t, names, count)
	call(batchOf(1, 1, 1, 0, "t").column(1, KindText, "3").packed("").column(1, KindText, "3").packed(""))
	plugin(t, func(_ *Schema, interest *Interest) error { interest.Subscribe(); return nil }, count)
	call(batchOf(2, 0, 0, 0, "ud"))
	if visits != 3 {
		t.Errorf("%d visits", visits)
	}
}
