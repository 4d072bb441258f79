package offtake

import (
	"math"
	"strconv"
)

// Cell is the value of a row in a column that is being set. It is what [Verdict.Cell] and
// [Emission.Cell] give, and good until they are asked for the next. Until it is set it is a zero or
// an empty text.
//
// A cell of text or bytes may be written piece by piece; it is an io.Writer.
type Cell struct {
	verdict *Verdict
	image   Image
	ordinal int
	kind    Kind
	// open: the last row has a value that is a text or bytes, and may be written to.
	open bool
	rows []uint32
	// presence has a byte a row, from the first on that has no value.
	presence []byte
	missing  bool
	words    []uint64
	offsets  []uint32
	data     []byte // of texts and bytes all of them; booleans
}

// begin makes a cell of the pool that of a column, with what it has allocated.
func (cell *Cell) begin(verdict *Verdict, image Image, ordinal int, kind Kind) {
	cell.release()
	*cell = Cell{
		verdict: verdict, image: image, ordinal: ordinal, kind: kind,
		rows: cell.rows[:0], presence: cell.presence[:0], words: cell.words[:0],
		offsets: cell.offsets[:0], data: cell.data[:0],
	}
}

// release lets go of what was for a row of unusual size.
func (cell *Cell) release() {
	if cap(cell.data) > keptBytes {
		cell.data = nil
	}
}

// push adds a row.
func (cell *Cell) push(row uint32) {
	cell.rows = append(cell.rows, row)
	if cell.missing {
		cell.presence = append(cell.presence, byte(Value))
	}
	switch {
	case cell.kind >= KindText:
		cell.open = true
		cell.offsets = append(cell.offsets, uint32(len(cell.data)))
	case cell.kind == KindBoolean:
		cell.data = append(cell.data, 0)
	default:
		cell.words = append(cell.words, 0)
	}
}

// mark makes the last row one without a value.
func (cell *Cell) mark(presence Presence) {
	if len(cell.rows) == 0 {
		return
	}
	if !cell.missing {
		cell.missing = true
		cell.presence = grow(cell.presence, len(cell.rows))
		clear(cell.presence)
	}
	cell.presence[len(cell.presence)-1] = byte(presence)
	cell.open = false
	switch {
	case cell.kind >= KindText:
		cell.data = cell.data[:cell.offsets[len(cell.offsets)-1]]
	case cell.kind == KindBoolean:
		cell.data[len(cell.data)-1] = 0
	default:
		cell.words[len(cell.words)-1] = 0
	}
}

// takes says whether the cell may be given a value of a kind, and makes it one that has a value.
func (cell *Cell) takes(kind Kind) bool {
	if cell.kind != kind || len(cell.rows) == 0 {
		cell.verdict.mistaken("a column was set to a value of another kind")
		return false
	}
	if cell.missing {
		cell.presence[len(cell.presence)-1] = byte(Value)
	}
	return true
}

func (cell *Cell) setWord(kind Kind, word uint64) {
	if cell.takes(kind) {
		cell.words[len(cell.words)-1] = word
	}
}

// SetBool sets a boolean.
func (cell *Cell) SetBool(value bool) {
	if cell.takes(KindBoolean) {
		cell.data[len(cell.data)-1] = byte(flag(value))
	}
}

// SetInt64 sets an int64.
func (cell *Cell) SetInt64(value int64) { cell.setWord(KindInt64, uint64(value)) }

// SetUint64 sets a uint64.
func (cell *Cell) SetUint64(value uint64) { cell.setWord(KindUint64, value) }

// SetFloat64 sets a float64.
func (cell *Cell) SetFloat64(value float64) { cell.setWord(KindFloat64, math.Float64bits(value)) }

// SetText sets a text or bytes. A text is UTF-8.
func (cell *Cell) SetText(value string) {
	if cell.empties() {
		cell.data = append(cell.data, value...)
	}
}

// SetBytes sets a text or bytes. A text is UTF-8.
func (cell *Cell) SetBytes(value []byte) {
	if cell.empties() {
		cell.data = append(cell.data, value...)
	}
}

// SetNull makes it NULL.
func (cell *Cell) SetNull() { cell.mark(Null) }

// SetMissing makes it NULL, unchanged or absent.
func (cell *Cell) SetMissing(presence Presence) { cell.mark(presence) }

// SetFrom sets it to the value of a row in a column of the same kind, or to its lack of one.
func (cell *Cell) SetFrom(column *Column, row int) {
	if presence := column.Presence(row); presence != Value {
		cell.mark(presence)
		return
	}
	if !cell.takes(column.kind) {
		return
	}
	switch column.kind {
	case KindBoolean:
		cell.SetBool(column.Bool(row))
	case KindInt64:
		cell.SetInt64(column.Int64(row))
	case KindUint64:
		cell.SetUint64(column.Uint64(row))
	case KindFloat64:
		cell.words[len(cell.words)-1] = math.Float64bits(column.Float64(row))
	default:
		cell.SetBytes(column.Bytes(row))
	}
}

// ---- Piece by piece

// holdsText says whether the cell may be written to.
func (cell *Cell) holdsText() bool { return cell.open || cell.opens() }

// opens makes it one that may be written to, where it is of text or bytes.
func (cell *Cell) opens() bool {
	kind := KindText
	if cell.kind == KindBytes {
		kind = KindBytes
	}
	cell.open = cell.takes(kind)
	return cell.open
}

// empties says the same, and takes away what was written.
func (cell *Cell) empties() bool {
	if !cell.holdsText() {
		return false
	}
	cell.data = cell.data[:cell.offsets[len(cell.offsets)-1]]
	return true
}

// Write adds to a text or bytes. It never fails.
func (cell *Cell) Write(piece []byte) (int, error) {
	if cell.holdsText() {
		cell.data = append(cell.data, piece...)
	}
	return len(piece), nil
}

// WriteString adds to a text or bytes. It never fails.
func (cell *Cell) WriteString(piece string) (int, error) {
	if cell.holdsText() {
		cell.data = append(cell.data, piece...)
	}
	return len(piece), nil
}

// WriteByte adds a byte. It never fails.
func (cell *Cell) WriteByte(one byte) error {
	if cell.holdsText() {
		cell.data = append(cell.data, one)
	}
	return nil
}

// WriteRepeated adds a byte so many times.
func (cell *Cell) WriteRepeated(one byte, times int) {
	if !cell.holdsText() {
		return
	}
	begin := len(cell.data)
	cell.data = grow(cell.data, times)
	// A block at a time: WebAssembly copies blocks at once.
	block := cell.verdict.blockOf(one)
	for added := cell.data[begin:]; len(added) > 0; {
		added = added[copy(added, block[:]):]
	}
}

// WriteInt64 adds a number in decimal digits.
func (cell *Cell) WriteInt64(number int64) {
	if cell.holdsText() {
		cell.data = strconv.AppendInt(cell.data, number, 10)
	}
}

// WriteUint64 adds a number in decimal digits.
func (cell *Cell) WriteUint64(number uint64) {
	if cell.holdsText() {
		cell.data = strconv.AppendUint(cell.data, number, 10)
	}
}

// ---- Into the frame

// size is about how many bytes its column takes, with the head of a section.
func (cell *Cell) size() int {
	return 64 + len(cell.rows)*4 + len(cell.presence) + len(cell.words)*8 + len(cell.offsets)*4 + len(cell.data)
}

func (cell *Cell) appendColumn(out []byte) []byte {
	out = appendUint32(out, uint32(cell.ordinal))
	out = append(out, byte(cell.kind), byte(flag(cell.missing)), 0, 0)
	if cell.missing {
		out = pad(append(out, cell.presence...), 8)
	}
	switch {
	case cell.kind >= KindText:
		out = append(out, bytesOf(cell.offsets)...)
		out = appendUint32(out, uint32(len(cell.data)))
		out = append(out, cell.data...)
	case cell.kind == KindBoolean:
		out = append(out, cell.data...)
	default:
		out = append(out, bytesOf(cell.words)...)
	}
	return pad(out, 8)
}
