package offtake

import "iter"

// Presence says why a row has a value in a column, or has none.
type Presence uint8

// The four states.
const (
	Value     Presence = iota
	Null               // NULL
	Unchanged          // a large value that the update left alone; the source does not send it
	Absent             // not part of this image, or there is no such image
)

// Column is a column of an image, one element a row, read where the gateway wrote it. It is valid
// until the call ends. Rows that have no value hold a zero or an empty text.
type Column struct {
	ordinal  int
	kind     Kind
	presence []byte // nil: every row has a value
	// One of these by the kind.
	booleans []byte
	int64s   []int64
	uint64s  []uint64
	float64s []float64
	packed   packed
}

func readColumn(in *frameReader, rows int) Column {
	column := Column{ordinal: int(in.uint32())}
	head := in.take(4)
	if head == nil {
		return column
	}
	column.kind = Kind(head[0])
	if head[1] != 0 {
		column.presence = in.take(rows)
	}
	in.pad(8)
	switch column.kind {
	case KindBoolean:
		column.booleans = in.take(rows)
	case KindInt64:
		column.int64s = words[int64](in, rows)
	case KindUint64:
		column.uint64s = words[uint64](in, rows)
	case KindFloat64:
		column.float64s = words[float64](in, rows)
	case KindText, KindBytes:
		column.packed = in.packed(rows)
	default:
		in.failed = true
	}
	in.pad(8)
	return column
}

// Ordinal is the column's in the schema.
func (column *Column) Ordinal() int { return column.ordinal }

// Kind says which of the methods below gives its values. The others panic.
func (column *Column) Kind() Kind { return column.kind }

// Presence says whether a row has a value.
func (column *Column) Presence(row int) Presence {
	if column.presence == nil {
		return Value
	}
	return Presence(column.presence[row])
}

// HasValue says whether a row has a value.
func (column *Column) HasValue(row int) bool {
	return column.presence == nil || column.presence[row] == byte(Value)
}

// Values goes through the rows that have a value.
func (column *Column) Values(batch *Batch) iter.Seq[int] {
	return func(yield func(int) bool) {
		for row := range batch.rows {
			if column.HasValue(row) && !yield(row) {
				return
			}
		}
	}
}

// Bool is a boolean's value.
func (column *Column) Bool(row int) bool { return column.booleans[row] != 0 }

// Int64 is that of an int64.
func (column *Column) Int64(row int) int64 { return column.int64s[row] }

// Uint64 is that of a uint64.
func (column *Column) Uint64(row int) uint64 { return column.uint64s[row] }

// Float64 is that of a float64.
func (column *Column) Float64(row int) float64 { return column.float64s[row] }

// Bytes is a text's or bytes' value as it lies there, for reading until the call ends. A text is
// UTF-8.
func (column *Column) Bytes(row int) []byte { return column.packed.at(row) }

// Text is a text's or bytes' value as a string. It is a copy, which costs more than [Column.Bytes]
// and may be kept.
func (column *Column) Text(row int) string { return string(column.packed.at(row)) }

// Int64s are all values of an int64 column, a zero where a row has none; else nil. For reading.
func (column *Column) Int64s() []int64 { return column.int64s }

// Uint64s is the same for uint64.
func (column *Column) Uint64s() []uint64 { return column.uint64s }

// Float64s is the same for float64.
func (column *Column) Float64s() []float64 { return column.float64s }
