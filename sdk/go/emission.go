package offtake

// Emission is a row that is being emitted on an output, its parent's own change beside it. What is
// not set is NULL in an after image and absent in a before image. It is good until the next row is
// emitted.
type Emission struct {
	verdict *Verdict
	output  int
	rows    int
	cells   cells

	parents    []uint32
	operations []byte
	streams    []byte
	named      int // how many streams that is
	partitions []uint32
	headers    []byte
	// rowsWithHeaders counts them; the last one's count stands at countAt, and is headerCount.
	rowsWithHeaders, lastHeaderRow, countAt int
	headerCount                             uint32
}

// Emit emits a row on an output. Parents in ascending order; of one parent, rows of the first output
// come first. Created and read rows have an after image, deleted ones a before image.
func (verdict *Verdict) Emit(output, parent int, operation Operation) *Emission {
	if uint(output) >= uint(len(verdict.told.outputs)) {
		verdict.mistaken("a row was emitted on an output that was not declared")
		// Somewhere to write to; the call fails.
		return &Emission{verdict: verdict, rows: 1}
	}
	for len(verdict.emissions) <= output {
		verdict.emissions = append(verdict.emissions, &Emission{})
	}
	emission := verdict.emissions[output]
	if emission.rows == 0 {
		emission.begin(verdict, output)
	}
	emission.rows++
	emission.parents = append(emission.parents, uint32(parent))
	emission.operations = append(emission.operations, byte(operation))
	return emission
}

func (emission *Emission) begin(verdict *Verdict, output int) {
	*emission = Emission{
		verdict: verdict, output: output, cells: emission.cells,
		parents: emission.parents[:0], operations: emission.operations[:0],
		streams: emission.streams[:0], partitions: emission.partitions[:0],
		headers: emission.headers[:0],
	}
	emission.cells.begin(verdict.told.outputs[output])
}

// Cell is the value of the row in a column of the output, to be set; at most once a column.
func (emission *Emission) Cell(image Image, ordinal int) *Cell {
	cell := emission.verdict.cell(&emission.cells, image, ordinal)
	if len(cell.rows) >= emission.rows {
		emission.verdict.mistaken("an emitted row's column was set twice")
	}
	cell.fill(emission.rows - 1)
	cell.push(uint32(emission.rows - 1))
	return cell
}

// fill adds values that were not set, up to so many.
func (cell *Cell) fill(rows int) {
	for len(cell.rows) < rows {
		cell.push(uint32(len(cell.rows)))
		if cell.image == Before {
			cell.mark(Absent)
		} else {
			cell.mark(Null)
		}
	}
}

// SetStream has the row leave on another stream than the output's. At most once a row.
func (emission *Emission) SetStream(stream string) {
	emission.fillStreams(emission.rows - 1)
	emission.streams = appendText(emission.streams, stream)
	emission.named++
}

func (emission *Emission) fillStreams(rows int) {
	for ; emission.named < rows; emission.named++ {
		emission.streams = appendText(emission.streams, "")
	}
}

// SetPartition chooses the partition of the row's message: for every row of the output in this call,
// or for none.
func (emission *Emission) SetPartition(partition uint32) {
	emission.partitions = append(emission.partitions, partition)
}

// AddHeader gives the row a header.
func (emission *Emission) AddHeader(name string, value []byte) {
	if emission.rowsWithHeaders == 0 || emission.lastHeaderRow != emission.rows-1 {
		emission.lastHeaderRow = emission.rows - 1
		emission.rowsWithHeaders++
		emission.headers = appendUint32(emission.headers, uint32(emission.lastHeaderRow))
		emission.countAt, emission.headerCount = len(emission.headers), 0
		emission.headers = appendUint32(emission.headers, 0)
	}
	emission.headerCount++
	putUint32(emission.headers[emission.countAt:], emission.headerCount)
	emission.headers = appendText(emission.headers, name)
	emission.headers = appendText(emission.headers, value)
}

func (emission *Emission) appendSection(out []byte) []byte {
	out, begin := beginSection(out, sectionEmit)
	out = appendUint32(out, uint32(emission.output))
	out = appendUint32(out, uint32(emission.rows))
	out = append(out, bytesOf(emission.parents)...)
	out = pad(append(out, emission.operations...), 4)
	if emission.named > 0 {
		emission.fillStreams(emission.rows)
	}
	out = appendUint32(out, uint32(emission.named))
	out = append(out, emission.streams...)
	if count := len(emission.partitions); count != 0 && count != emission.rows {
		emission.verdict.mistaken("some emitted rows of an output were given a partition, others not")
	}
	out = appendUint32(out, uint32(len(emission.partitions)))
	out = append(out, bytesOf(emission.partitions)...)
	out = appendUint32(out, uint32(emission.rowsWithHeaders))
	out = append(out, emission.headers...)
	before := 0
	for _, cell := range emission.cells.order {
		if cell.image == Before {
			before++
		}
	}
	out = appendUint32(out, uint32(len(emission.cells.order)-before))
	out = pad(appendUint32(out, uint32(before)), 8)
	for _, image := range [2]Image{After, Before} {
		for _, cell := range emission.cells.order {
			if cell.image == image {
				cell.fill(emission.rows)
				out = cell.appendColumn(out)
			}
		}
	}
	return endSection(out, begin)
}
