package offtake

// Row is an image of a change, for plugins that do not mind the cost: a column is looked up by its
// name at each access (README.md has what that takes). It is good until the function that was given
// it returns.
type Row struct {
	batch   *Batch
	verdict *Verdict
	row     int
	// image is the one that is read and set.
	image Image
	// newest: the visit is that of the newest image, whatever was chosen in it.
	newest  bool
	dropped bool
}

// EachRow calls a function with every image of each change of a batch, in order: an update's before
// image first, where it has one and before images were wanted, then its after image; of a deleted row
// the before image, of all others the after image alone. So what [Row.Set] covers is covered in both.
//
// What is said of the change and not of an image (a row to emit, a stream) is said in
// the newest image, so once: [Row.IsNewest] tells which, and [EachNewest] visits no other. An error
// fails the change, as [Verdict.Fail] does, and its next image is not visited.
func EachRow(batch *Batch, verdict *Verdict, each func(row *Row) error) {
	eachRow(batch, verdict, true, each)
}

// EachNewest is [EachRow] for those who decide by the new row, such as a filter: it calls the function
// once a change, with the after image, or the before image of a deleted row. What it sets is not set
// in the before image of an update.
func EachNewest(batch *Batch, verdict *Verdict, each func(row *Row) error) {
	eachRow(batch, verdict, false, each)
}

func eachRow(batch *Batch, verdict *Verdict, every bool, each func(row *Row) error) {
	row := Row{batch: batch, verdict: verdict}
	for at := range batch.rows {
		newest := batch.Operation(at).Image()
		row.row, row.dropped = at, false
		var err error
		if every && newest == After && batch.hasImage(Before, at) {
			row.image, row.newest = Before, false
			err = each(&row)
		}
		if err == nil {
			row.image, row.newest = newest, true
			err = each(&row)
		}
		if err != nil {
			verdict.Fail(at, err)
		}
	}
}

// hasImage says whether a row has an image, as far as the plugin sees it.
func (batch *Batch) hasImage(image Image, row int) bool {
	columns := batch.columns[:batch.after]
	if image == Before {
		columns = batch.columns[batch.after:]
	}
	for at := range columns {
		if columns[at].Presence(row) != Absent {
			return true
		}
	}
	return false
}

// Index is the row's number in the batch.
func (row *Row) Index() int { return row.row }

// Operation is what the change does.
func (row *Row) Operation() Operation { return row.batch.Operation(row.row) }

// IsBefore says whether it is the row before the change that is read and set.
func (row *Row) IsBefore() bool { return row.image == Before }

// IsNewest says whether the function was called with the image that counts: the after image, or the
// before image of a deleted row. It is so once a change.
func (row *Row) IsNewest() bool { return row.newest }

// Choose has the row read and set this image until the function returns.
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

// Drop leaves the change out, in whichever of its images that was said.
func (row *Row) Drop() {
	if !row.dropped {
		row.verdict.Drop(row.row)
	}
	row.dropped = true
}

// once is for what is said of a change as a whole: in two visits it would be said twice.
func (row *Row) once() {
	if !row.newest {
		row.verdict.mistaken("what is of a whole change was said in an image that is not its newest")
	}
}

// SetOperation makes the change one of another kind. In an image that is not the newest this is a
// mistake, and the call fails; so with the next ones.
func (row *Row) SetOperation(operation Operation) {
	row.once()
	row.verdict.SetOperation(row.row, operation)
}

// SetStream has the row leave on another stream.
func (row *Row) SetStream(stream string) {
	row.once()
	row.verdict.SetStream(row.row, stream)
}

// SetPartition chooses the partition of its messages.
func (row *Row) SetPartition(partition uint32) {
	row.once()
	row.verdict.SetPartition(row.row, partition)
}

// AddHeader gives it a header.
func (row *Row) AddHeader(name string, value []byte) {
	row.once()
	row.verdict.AddHeader(row.row, name, value)
}

// Emit emits a row on an output behind it.
func (row *Row) Emit(output int, operation Operation) *Emission {
	row.once()
	return row.verdict.Emit(output, row.row, operation)
}
