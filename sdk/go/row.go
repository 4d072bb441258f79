package offtake

// Row is one change, for plugins that do not mind the cost: a column is looked up by its name at
// each access (README.md has what that takes). It reads and sets the after image, or the before image
// of a deleted row, unless [Row.Choose] chose. It is good until the function that was given it
// returns.
type Row struct {
	batch   *Batch
	verdict *Verdict
	row     int
	image   Image
}

// EachRow calls a function with each change of a batch, in order. An error fails that change alone,
// as [Verdict.Fail] does.
func EachRow(batch *Batch, verdict *Verdict, each func(row *Row) error) {
	row := Row{batch: batch, verdict: verdict}
	for at := range batch.rows {
		row.row, row.image = at, batch.Operation(at).Image()
		if err := each(&row); err != nil {
			verdict.Fail(at, err)
		}
	}
}

// Index is the row's number in the batch.
func (row *Row) Index() int { return row.row }

// Operation is what the change does.
func (row *Row) Operation() Operation { return row.batch.Operation(row.row) }

// Choose has the row read and set this image from now on.
func (row *Row) Choose(image Image) { row.image = image }

// Column is that of a name in the image, or nil where the table has none of it. A column or a before
// image that was not wanted is a mistake, and the call fails: what is not seen is not nothing.
func (row *Row) Column(name string) *Column {
	ordinal, ok := row.batch.schema.ordinals[name]
	if !ok {
		return nil
	}
	column := row.batch.Column(row.image, ordinal)
	if column == nil {
		image := "after"
		if row.image == Before {
			image = "before"
		}
		row.verdict.mistaken("the column " + name + " of the " + image + " image was read, and was not wanted")
	}
	return column
}

// read is the column of a name if it has a value to be read as one of a kind.
func (row *Row) read(name string, kind Kind) (*Column, Presence) {
	column := row.Column(name)
	if column == nil {
		return nil, Absent
	}
	if column.kind != kind && (kind != KindText || column.kind != KindBytes) {
		row.verdict.mistaken("the column " + name + " is of kind " + column.kind.String() +
			", and was read as " + kind.String())
		return nil, Absent
	}
	return column, column.Presence(row.row)
}

// Presence says whether there is a value. Of a column that the table does not have it is [Absent].
func (row *Row) Presence(name string) Presence {
	if column := row.Column(name); column != nil {
		return column.Presence(row.row)
	}
	return Absent
}

// Has says whether there is a value.
func (row *Row) Has(name string) bool { return row.Presence(name) == Value }

// Bool is a boolean's value, where the presence is [Value]. A column of another kind is a mistake,
// and the call fails; so with the next ones.
func (row *Row) Bool(name string) (bool, Presence) {
	column, presence := row.read(name, KindBoolean)
	if presence != Value {
		return false, presence
	}
	return column.Bool(row.row), Value
}

// Int64 is that of an int64.
func (row *Row) Int64(name string) (int64, Presence) {
	column, presence := row.read(name, KindInt64)
	if presence != Value {
		return 0, presence
	}
	return column.Int64(row.row), Value
}

// Uint64 is that of a uint64.
func (row *Row) Uint64(name string) (uint64, Presence) {
	column, presence := row.read(name, KindUint64)
	if presence != Value {
		return 0, presence
	}
	return column.Uint64(row.row), Value
}

// Float64 is that of a float64.
func (row *Row) Float64(name string) (float64, Presence) {
	column, presence := row.read(name, KindFloat64)
	if presence != Value {
		return 0, presence
	}
	return column.Float64(row.row), Value
}

// Text is that of a text or bytes, as a string that may be kept.
func (row *Row) Text(name string) (string, Presence) {
	column, presence := row.read(name, KindText)
	if presence != Value {
		return "", presence
	}
	return column.Text(row.row), Value
}

// Bytes is that of a text or bytes as it lies there, for reading until the call ends.
func (row *Row) Bytes(name string) ([]byte, Presence) {
	column, presence := row.read(name, KindText)
	if presence != Value {
		return nil, presence
	}
	return column.Bytes(row.row), Value
}

// Set is the row's cell in the column that leaves by this name, to be set: rows in their order, a
// column at most once a row. Where no column does, the call fails.
func (row *Row) Set(name string) *Cell {
	ordinal, ok := row.verdict.told.leaving[name]
	if !ok {
		ordinal = -1
	}
	return row.verdict.Cell(row.image, ordinal, row.row)
}

// Drop leaves the row out.
func (row *Row) Drop() { row.verdict.Drop(row.row) }

// SetOperation makes the change one of another kind.
func (row *Row) SetOperation(operation Operation) { row.verdict.SetOperation(row.row, operation) }

// SetStream has the row leave on another stream.
func (row *Row) SetStream(stream string) { row.verdict.SetStream(row.row, stream) }

// SetPartition chooses the partition of its messages.
func (row *Row) SetPartition(partition uint32) { row.verdict.SetPartition(row.row, partition) }

// AddHeader gives it a header.
func (row *Row) AddHeader(name string, value []byte) { row.verdict.AddHeader(row.row, name, value) }

// Emit emits a row on an output behind it.
func (row *Row) Emit(output int, operation Operation) *Emission {
	return row.verdict.Emit(output, row.row, operation)
}
