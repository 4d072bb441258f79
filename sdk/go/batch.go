package offtake

// Image is one of the two states of a row that a change is about.
type Image uint8

// Before the change, and after it. A created or read row has only an after image, a deleted one only
// a before image; a truncated table has neither.
const (
	Before Image = iota
	After
)

// Images are both, to go through.
var Images = [2]Image{Before, After}

// Operation is what a change does: one of the letters below.
type Operation byte

// The operations.
const (
	Created   Operation = 'c'
	Updated   Operation = 'u'
	Deleted   Operation = 'd'
	Read      Operation = 'r' // by a snapshot
	Truncated Operation = 't' // every value is absent
	Message   Operation = 'm' // a logical message
)

// Image is the one that has the row: the before image of what is deleted, else the after image. A
// truncate has none, and every value of it is absent.
func (operation Operation) Image() Image {
	if operation == Deleted {
		return Before
	}
	return After
}

// Snapshot says whether a change was read by a snapshot, and where in it.
type Snapshot uint8

// The places in a snapshot.
const (
	SnapshotNone Snapshot = iota
	SnapshotFirst
	SnapshotRow
	SnapshotLastOfTable
	SnapshotLast
	SnapshotFirstOfTable
)

// Header is a name with a value. The value is valid until the call ends.
type Header struct {
	Name  string
	Value []byte
}

// Batch is changes of one table in source order, at least one, as the gateway wrote them: nothing is
// copied. It is valid until the call ends.
type Batch struct {
	schema        *Schema
	rows          int
	operations    []byte
	columns       []Column // the after image's, then the before image's
	after, before int

	positions, transactions packed
	snapshots               []byte
	commitTimes             []int64
	orders                  []uint64
	headers                 []rowHeaders
}

type rowHeaders struct {
	row     int
	headers []Header
}

// packed is opaque texts, one a row.
type packed struct {
	offsets []uint32
	data    []byte
}

func (packed *packed) at(row int) []byte {
	begin, end := packed.offsets[row], packed.offsets[row+1]
	return packed.data[begin:end:end]
}

// Schema is the table's definition.
func (batch *Batch) Schema() *Schema { return batch.schema }

// Rows is how many changes there are. Rows count from 0.
func (batch *Batch) Rows() int { return batch.rows }

// Operation is what the change of a row does.
func (batch *Batch) Operation(row int) Operation { return Operation(batch.operations[row]) }

// Column is that of an ordinal in an image, or nil where it was not wanted. With -1, as
// [Schema.Ordinal] gives it, nil.
func (batch *Batch) Column(image Image, ordinal int) *Column {
	places := batch.schema.told.places
	if uint(ordinal) >= uint(len(places)) {
		return nil
	}
	place, count, first := places[ordinal], batch.after, 0
	if image == Before {
		count, first = batch.before, batch.after
	}
	if uint(place) >= uint(count) {
		return nil
	}
	return &batch.columns[first+place]
}

// Position is a row's, as opaque text; for who wanted positions, else it panics. So do the next.
func (batch *Batch) Position(row int) []byte { return batch.positions.at(row) }

// Snapshot says where in a snapshot a row was read; for who wanted positions.
func (batch *Batch) Snapshot(row int) Snapshot { return Snapshot(batch.snapshots[row]) }

// CommitTime is in microseconds since 1970-01-01 UTC, and 0 for rows of a snapshot; for who wanted
// commit times.
func (batch *Batch) CommitTime(row int) int64 { return batch.commitTimes[row] }

// Transaction is a row's as opaque text, and empty for rows of a snapshot; for who wanted
// transactions.
func (batch *Batch) Transaction(row int) []byte { return batch.transactions.at(row) }

// TransactionOrder is a row's place in its transaction, or of a snapshot's row in its table, from 1;
// for who wanted transactions.
func (batch *Batch) TransactionOrder(row int) uint64 { return batch.orders[row] }

// Headers are a row's that earlier plugins added; for who wanted headers, else none.
func (batch *Batch) Headers(row int) []Header {
	for at := range batch.headers {
		if batch.headers[at].row == row {
			return batch.headers[at].headers
		}
	}
	return nil
}

// ---- Reading a frame. It is the gateway's, so well formed; lengths are checked all the same.

type frameReader struct {
	bytes  []byte
	at     int
	failed bool
}

// take gives the next bytes, and none after a mistake.
func (in *frameReader) take(length int) []byte {
	if in.failed || length > len(in.bytes)-in.at {
		in.failed = true
		return nil
	}
	begin := in.at
	in.at += length
	return in.bytes[begin:in.at:in.at]
}

func (in *frameReader) uint32() uint32 {
	four := in.take(4)
	if four == nil {
		return 0
	}
	return uint32(four[0]) | uint32(four[1])<<8 | uint32(four[2])<<16 | uint32(four[3])<<24
}

func (in *frameReader) pad(to int) { in.take(-in.at & (to - 1)) }

func (in *frameReader) packed(rows int) packed {
	offsets := numbers[uint32](in.take((rows + 1) * 4))
	if len(offsets) != rows+1 {
		in.failed = true
		return packed{}
	}
	return packed{offsets, in.take(int(offsets[rows]))}
}

func (in *frameReader) text() []byte {
	text := in.take(int(in.uint32()))
	in.pad(4)
	return text
}

// words are numbers of 8 bytes, one a row.
func words[T int64 | uint64 | float64](in *frameReader, rows int) []T {
	list := numbers[T](in.take(rows * 8))
	if len(list) != rows {
		in.failed = true
	}
	return list
}

const (
	hasPositions = 1 << iota
	hasCommitTimes
	hasTransactions
	hasHeaders
)

// read takes a batch frame in place of what the batch was before. False: it cannot be read.
func (batch *Batch) read(frame []byte) bool {
	in := frameReader{bytes: frame}
	if string(in.take(4)) != "OTB1" {
		return false
	}
	*batch = Batch{columns: batch.columns[:0]}
	batch.schema = schemas[in.uint32()]
	batch.rows = int(in.uint32())
	batch.after = int(in.uint32())
	batch.before = int(in.uint32())
	metadata := in.uint32()
	columns := batch.after + batch.before
	// A column takes more than eight bytes.
	if in.failed || batch.schema == nil || columns > len(frame)/8 {
		return false
	}
	batch.operations = in.take(batch.rows)
	in.pad(8)
	for at := 0; at < columns && !in.failed; at++ {
		batch.columns = append(batch.columns, readColumn(&in, batch.rows))
	}
	if metadata != 0 {
		batch.readMetadata(&in, metadata)
	}
	return !in.failed
}

func (batch *Batch) readMetadata(in *frameReader, metadata uint32) {
	if metadata&hasPositions != 0 {
		batch.positions = in.packed(batch.rows)
		in.pad(8)
		batch.snapshots = in.take(batch.rows)
		in.pad(8)
	}
	if metadata&hasCommitTimes != 0 {
		batch.commitTimes = words[int64](in, batch.rows)
	}
	if metadata&hasTransactions != 0 {
		batch.transactions = in.packed(batch.rows)
		in.pad(8)
		batch.orders = words[uint64](in, batch.rows)
	}
	if metadata&hasHeaders != 0 {
		for rows := in.uint32(); rows > 0 && !in.failed; rows-- {
			of := rowHeaders{row: int(in.uint32())}
			for count := in.uint32(); count > 0 && !in.failed; count-- {
				of.headers = append(of.headers, Header{string(in.text()), in.text()})
			}
			batch.headers = append(batch.headers, of)
		}
	}
}
