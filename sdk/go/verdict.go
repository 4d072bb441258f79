package offtake

// Verdict gathers what becomes of a batch; saying nothing passes everything. It is valid until the
// call ends. A mistake of the plugin's own (a value of another kind, rows out of order) fails the
// call, with a message that names the mistake.
type Verdict struct {
	batch   *Batch
	told    *agreement
	mistake string
	cells   cells
	latest  *Cell   // that was asked for, most often the next one too
	pool    []*Cell // all that there are, used or not, with what they have allocated
	used    int

	dropped, operations, failures []byte
	routes                        []byte
	routeSections                 uint32
	partitionRows, partitions     []uint32
	emissions                     []*Emission // one an output, of this call or an earlier one
	out                           []byte
	block                         [64]byte // one byte so many times
}

// cells are the columns being set.
type cells struct {
	kinds []Kind
	table [2][]*Cell // by image and ordinal, made when first used
	order []*Cell
}

func (verdict *Verdict) begin(batch *Batch) {
	told := &batch.schema.told
	verdict.release()
	verdict.batch, verdict.told, verdict.mistake = batch, told, ""
	verdict.cells.begin(told.kinds)
	verdict.used, verdict.latest = 0, nil
	verdict.dropped = verdict.dropped[:0]
	verdict.operations = verdict.operations[:0]
	verdict.failures = verdict.failures[:0]
	verdict.routes, verdict.routeSections = verdict.routes[:0], 0
	verdict.partitionRows, verdict.partitions = verdict.partitionRows[:0], verdict.partitions[:0]
	for _, emission := range verdict.emissions {
		emission.rows = 0
	}
}

// release lets go of what was for rows of unusual size; what it was for has been answered.
func (verdict *Verdict) release() {
	answered = nil
	if cap(verdict.out) > keptBytes {
		verdict.out = nil
	}
	for _, cell := range verdict.pool {
		cell.release()
	}
}

func (cells *cells) begin(kinds []Kind) {
	cells.kinds = kinds
	cells.order = cells.order[:0]
	for image := range cells.table {
		if cap(cells.table[image]) < len(kinds) {
			cells.table[image] = make([]*Cell, len(kinds))
			continue
		}
		cells.table[image] = cells.table[image][:len(kinds)]
		clear(cells.table[image])
	}
}

func (verdict *Verdict) mistaken(mistake string) {
	if verdict.mistake == "" {
		verdict.mistake = mistake
	}
}

// cell is that of a column, made when first asked for.
func (verdict *Verdict) cell(of *cells, image Image, ordinal int) *Cell {
	if uint(ordinal) >= uint(len(of.kinds)) {
		verdict.mistaken("a column was set that there is not")
		// Somewhere to write to; the call fails.
		return &Cell{verdict: verdict, ordinal: -1, kind: KindText}
	}
	cell := of.table[image&1][ordinal]
	if cell == nil {
		if verdict.used == len(verdict.pool) {
			verdict.pool = append(verdict.pool, &Cell{})
		}
		cell = verdict.pool[verdict.used]
		verdict.used++
		cell.begin(verdict, image, ordinal, of.kinds[ordinal])
		of.table[image&1][ordinal] = cell
		of.order = append(of.order, cell)
	}
	return cell
}

// Cell is the value of a row in a column of an image, to be set. Rows of a column in ascending
// order, each once. The column need not be a wanted one.
func (verdict *Verdict) Cell(image Image, ordinal, row int) *Cell {
	cell := verdict.latest
	if cell == nil || cell.ordinal != ordinal || cell.image != image {
		cell = verdict.cell(&verdict.cells, image, ordinal)
		verdict.latest = cell
	}
	if count := len(cell.rows); count > 0 && int(cell.rows[count-1]) >= row {
		verdict.mistaken("a column's rows were set out of order, or one twice")
	}
	cell.push(uint32(row))
	return cell
}

// blockOf gives a block of one byte.
func (verdict *Verdict) blockOf(one byte) *[64]byte {
	if verdict.block[0] != one {
		for at := range verdict.block {
			verdict.block[at] = one
		}
	}
	return &verdict.block
}

// Drop leaves a row out. It wins over everything else that is said of it.
func (verdict *Verdict) Drop(row int) {
	verdict.dropped = appendUint32(verdict.dropped, uint32(row))
}

// SetOperation makes a row's change one of another kind.
func (verdict *Verdict) SetOperation(row int, operation Operation) {
	verdict.operations = appendUint32(verdict.operations, uint32(row))
	verdict.operations = appendUint32(verdict.operations, uint32(operation))
}

// Fail fails one row; what becomes of it is the operator's choice (`on_error`). Of an error that is
// no [Failure], only the type is told.
func (verdict *Verdict) Fail(row int, err error) {
	failure := told(err)
	verdict.failures = appendUint32(verdict.failures, uint32(row))
	verdict.failures = appendUint32(verdict.failures, flag(failure.Permanent))
	verdict.failures = appendText(verdict.failures, failure.Message)
}

// SetStream has a row leave on another stream than the table's. At most once a row.
func (verdict *Verdict) SetStream(row int, stream string) {
	begin := verdict.beginRoute(row)
	verdict.routes = appendUint32(verdict.routes, 1)
	verdict.routes = appendText(verdict.routes, stream)
	verdict.routes = appendZeroes(verdict.routes, 3) // partitions, headers added, headers removed
	verdict.endRoute(begin)
}

// AddHeader gives a row a header. One of the same name is replaced.
func (verdict *Verdict) AddHeader(row int, name string, value []byte) {
	begin := verdict.beginRoute(row)
	verdict.routes = appendZeroes(verdict.routes, 2) // stream, partitions
	verdict.routes = appendUint32(verdict.routes, 1)
	verdict.routes = appendText(verdict.routes, name)
	verdict.routes = appendText(verdict.routes, value)
	verdict.routes = appendZeroes(verdict.routes, 1) // headers removed
	verdict.endRoute(begin)
}

// RemoveHeader takes a header away from a row.
func (verdict *Verdict) RemoveHeader(row int, name string) {
	begin := verdict.beginRoute(row)
	verdict.routes = appendZeroes(verdict.routes, 3) // stream, partitions, headers added
	verdict.routes = appendUint32(verdict.routes, 1)
	verdict.routes = appendText(verdict.routes, name)
	verdict.endRoute(begin)
}

// SetPartition chooses the partition of a row's messages, modulo the topic's partitions. Rows in
// ascending order, each once.
func (verdict *Verdict) SetPartition(row int, partition uint32) {
	verdict.partitionRows = append(verdict.partitionRows, uint32(row))
	verdict.partitions = append(verdict.partitions, partition)
}

// ---- The frame

const (
	sectionDrop = 1 + iota
	sectionSet
	sectionOperations
	sectionRoute
	sectionEmit
	sectionFailure
)

// beginSection writes a section's head and gives where its body begins.
func beginSection(out []byte, kind uint32) ([]byte, int) {
	out = appendUint32(appendUint32(out, kind), 0)
	return out, len(out)
}

func endSection(out []byte, begin int) []byte {
	putUint32(out[begin-4:], uint32(len(out)-begin))
	return pad(out, 8)
}

func putUint32(to []byte, value uint32) { appendUint32(to[:0], value) }

// beginRoute begins a section about one row.
func (verdict *Verdict) beginRoute(row int) (begin int) {
	verdict.routes, begin = beginSection(verdict.routes, sectionRoute)
	verdict.routes = appendUint32(verdict.routes, 1)
	verdict.routes = appendUint32(verdict.routes, uint32(row))
	return begin
}

func (verdict *Verdict) endRoute(begin int) {
	verdict.routes = endSection(verdict.routes, begin)
	verdict.routeSections++
}

func appendZeroes(out []byte, count int) []byte {
	for range count {
		out = appendUint32(out, 0)
	}
	return out
}

// finish gives the frame; empty: everything passes.
func (verdict *Verdict) finish() []byte {
	size := 64 + len(verdict.dropped) + len(verdict.operations) + len(verdict.routes) + len(verdict.failures)
	for _, cell := range verdict.pool[:verdict.used] {
		size += cell.size()
	}
	out := append(reserve(verdict.out, size), "OTV1"...)
	out = appendUint32(out, 0)
	sections := verdict.routeSections
	out = appendListSection(out, sectionDrop, verdict.dropped, &sections)
	out = verdict.appendSets(out)
	sections += uint32(len(verdict.cells.order))
	out = appendListSection(out, sectionOperations, verdict.operations, &sections)
	out = append(out, verdict.routes...)
	if len(verdict.partitions) > 0 {
		out = verdict.appendPartitions(out)
		sections++
	}
	for _, emission := range verdict.emissions {
		if emission.rows > 0 {
			out = emission.appendSection(out)
			sections++
		}
	}
	out = appendListSection(out, sectionFailure, verdict.failures, &sections)
	verdict.out = out
	switch {
	case verdict.mistake != "":
		return failureFrame(nil, Refuse(verdict.mistake))
	case sections == 0:
		return nil
	}
	putUint32(out[4:], sections)
	return out
}

func appendListSection(out []byte, kind uint32, list []byte, sections *uint32) []byte {
	if len(list) == 0 {
		return out
	}
	*sections++
	out, begin := beginSection(out, kind)
	return endSection(append(out, list...), begin)
}

func (verdict *Verdict) appendSets(out []byte) []byte {
	for _, cell := range verdict.cells.order {
		var begin int
		out, begin = beginSection(out, sectionSet)
		out = appendUint32(out, uint32(cell.image))
		// Ascending rows, each once: as many as there are means all of them, which is said by none.
		if len(cell.rows) == verdict.batch.rows {
			out = appendUint32(out, 0)
		} else {
			out = appendUint32(out, uint32(len(cell.rows)))
			out = append(out, bytesOf(cell.rows)...)
		}
		out = endSection(cell.appendColumn(pad(out, 8)), begin)
	}
	return out
}

func (verdict *Verdict) appendPartitions(out []byte) []byte {
	out, begin := beginSection(out, sectionRoute)
	out = appendUint32(out, uint32(len(verdict.partitionRows)))
	out = append(out, bytesOf(verdict.partitionRows)...)
	out = appendUint32(out, 0) // no stream
	out = appendUint32(out, uint32(len(verdict.partitions)))
	out = append(out, bytesOf(verdict.partitions)...)
	out = appendUint32(out, 0) // no headers added
	out = appendUint32(out, 0) // none removed
	return endSection(out, begin)
}
