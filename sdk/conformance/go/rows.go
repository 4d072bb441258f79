package main

// The conformance plugin in Go: the actions on rows as a whole.

import (
	"encoding/hex"
	"hash/fnv"
	"math"

	"offtake"
)

// ---- add

func add(batch *offtake.Batch, verdict *offtake.Verdict) {
	if batch.Schema().Message {
		return
	}
	seen := len(batch.Schema().Columns)
	for row := range batch.Rows() {
		operation := batch.Operation(row)
		if operation == offtake.Truncated {
			continue
		}
		cell := verdict.Cell(operation.Image(), seen, row)
		writeMetadata(cell, batch, row)
		writeImage(cell, batch, row, offtake.After, " after.")
		writeImage(cell, batch, row, offtake.Before, " before.")
	}
}

func writeMetadata(cell *offtake.Cell, batch *offtake.Batch, row int) {
	cell.WriteByte(byte(batch.Operation(row)))
	cell.WriteString(" position=")
	cell.Write(batch.Position(row))
	cell.WriteString(" snapshot=")
	cell.WriteUint64(uint64(batch.Snapshot(row)))
	cell.WriteString(" committed=")
	cell.WriteInt64(batch.CommitTime(row))
	cell.WriteString(" transaction=")
	cell.Write(batch.Transaction(row))
	cell.WriteString(" order=")
	cell.WriteUint64(batch.TransactionOrder(row))
	headers := batch.Headers(row)
	cell.WriteString(" headers=")
	cell.WriteUint64(uint64(len(headers)))
	for _, header := range headers {
		cell.WriteString(" " + header.Name + "=")
		writeText(cell, 'b', header.Value)
	}
}

func writeImage(cell *offtake.Cell, batch *offtake.Batch, row int, image offtake.Image, before string) {
	for ordinal := range batch.Schema().Columns {
		column := batch.Column(image, ordinal)
		if column == nil {
			continue
		}
		cell.WriteString(before)
		cell.WriteString(batch.Schema().Columns[ordinal].Name)
		cell.WriteByte('=')
		writeValue(cell, column, row)
	}
}

func writeValue(cell *offtake.Cell, column *offtake.Column, row int) {
	switch column.Presence(row) {
	case offtake.Null:
		cell.WriteString("null")
		return
	case offtake.Unchanged:
		cell.WriteString("unchanged")
		return
	case offtake.Absent:
		cell.WriteString("absent")
		return
	}
	switch column.Kind() {
	case offtake.KindBoolean:
		if column.Bool(row) {
			cell.WriteString("true")
		} else {
			cell.WriteString("false")
		}
	case offtake.KindInt64:
		cell.WriteString("i:")
		cell.WriteInt64(column.Int64(row))
	case offtake.KindUint64:
		cell.WriteString("u:")
		cell.WriteUint64(column.Uint64(row))
	case offtake.KindFloat64:
		writeFloat(cell, column.Float64(row))
	case offtake.KindText:
		writeText(cell, 't', column.Bytes(row))
	case offtake.KindBytes:
		writeText(cell, 'b', column.Bytes(row))
	}
}

func writeFloat(cell *offtake.Cell, value float64) {
	cell.WriteString("f:")
	if math.IsNaN(value) {
		cell.WriteString("nan")
		return
	}
	writeHex(cell, math.Float64bits(value), 16)
}

func writeHex(cell *offtake.Cell, number uint64, digits int) {
	for at := digits - 1; at >= 0; at-- {
		cell.WriteByte("0123456789abcdef"[number>>(4*at)&15])
	}
}

func writeText(cell *offtake.Cell, letter byte, text []byte) {
	cell.WriteByte(letter)
	switch {
	case len(text) > 64:
		cell.WriteByte('#')
		cell.WriteUint64(uint64(len(text)))
		cell.WriteByte(':')
		hash := fnv.New32a()
		hash.Write(text)
		writeHex(cell, uint64(hash.Sum32()), 8)
	case letter == 't':
		cell.WriteByte(':')
		cell.Write(text)
	default:
		cell.WriteByte(':')
		cell.WriteString(hex.EncodeToString(text))
	}
}

// ---- fan-out, route, fail

func fanOut(batch *offtake.Batch, verdict *offtake.Verdict) {
	for row := range batch.Rows() {
		operation := batch.Operation(row)
		emitted := offtake.Created
		if operation == offtake.Deleted {
			emitted = offtake.Deleted
		}
		emission := verdict.Emit(0, row, emitted)
		image := emitted.Image()
		number := batch.TransactionOrder(row)
		emission.Cell(image, letter).SetText(string(rune(operation)))
		if operation != offtake.Updated {
			emission.Cell(image, position).SetBytes(batch.Position(row))
		}
		emission.Cell(image, committed).SetInt64(batch.CommitTime(row))
		emission.Cell(image, order).SetUint64(number)
		emission.Cell(image, created).SetBool(operation == offtake.Created)
		emission.Cell(image, half).SetFloat64(float64(number) / 2)
		if operation == offtake.Deleted {
			emission.SetStream("seen.deleted")
		}
		emission.SetPartition(uint32(number % 3))
		emission.AddHeader("operation", []byte{byte(operation)})
	}
}

// namesAStream says whether a stream may be called so.
func namesAStream(text []byte) bool {
	if len(text) > 249 {
		return false
	}
	dots := true
	for _, one := range text {
		lower := one | 0x20
		letter, digit := lower >= 'a' && lower <= 'z', one >= '0' && one <= '9'
		dots = dots && one == '.'
		if !letter && !digit && one != '.' && one != '_' && one != '-' {
			return false
		}
	}
	return !dots
}

func (plugin *conformance) route(batch *offtake.Batch, verdict *offtake.Verdict) {
	for row := range batch.Rows() {
		column := valueAt(batch, row, plugin.stream)
		if column != nil && column.Kind() == offtake.KindText && namesAStream(column.Bytes(row)) {
			verdict.SetStream(row, column.Text(row))
		}
		column = valueAt(batch, row, plugin.partition)
		if column != nil && column.Kind() == offtake.KindInt64 {
			verdict.SetPartition(row, uint32(column.Int64(row)))
		}
		column = valueAt(batch, row, plugin.header)
		if column != nil && column.Kind() >= offtake.KindText {
			verdict.AddHeader(row, plugin.header, column.Bytes(row))
		}
		for _, header := range batch.Headers(row) {
			if header.Name == "remove-me" {
				verdict.RemoveHeader(row, header.Name)
			}
		}
	}
}

// askedFor is the failure that a row asks for, if it does.
func askedFor(batch *offtake.Batch, row int) error {
	for _, image := range [2]offtake.Image{offtake.After, offtake.Before} {
		for ordinal, info := range batch.Schema().Columns {
			column := batch.Column(image, ordinal)
			if column == nil || column.Kind() != offtake.KindText || !column.HasValue(row) {
				continue
			}
			message := "column " + info.Name + " asks for it"
			switch string(column.Bytes(row)) {
			case "fail":
				return offtake.Refuse(message)
			case "retry":
				return offtake.Retry(message)
			}
		}
	}
	return nil
}

func (plugin *conformance) fail(batch *offtake.Batch, verdict *offtake.Verdict) error {
	for row := range batch.Rows() {
		failure := askedFor(batch, row)
		if failure == nil {
			continue
		}
		if plugin.whole {
			return failure
		}
		verdict.Fail(row, failure)
	}
	return nil
}
