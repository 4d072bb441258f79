package offtake

import "strconv"

// Interest is what a plugin wants to see of a table, and how what leaves differs from what came.
// Left empty: the plugin is never called for the table.
//
// Ordinals are those of the input; [Interest.AddColumn] gives those of added columns, and that is
// how patches and the key count, whatever is removed.
type Interest struct {
	schema     *Schema
	subscribed bool
	columns    []int
	wants      []string
	removed    []int
	retyped    []int
	infos      []ColumnInfo // as patches count them
	shaped     bool
	key        []int
	rekeyed    bool
	stream     *string
	name       *[2]string
	form       string // JSON
	outputs    []Output
}

func beginInterest(schema *Schema) *Interest {
	return &Interest{schema: schema, infos: append([]ColumnInfo(nil), schema.Columns...)}
}

// Subscribe asks for every change of the table, also where no column is wanted.
func (interest *Interest) Subscribe() { interest.subscribed = true }

// WantColumn asks for the column of that ordinal.
func (interest *Interest) WantColumn(ordinal int) {
	interest.subscribed = true
	for _, wanted := range interest.columns {
		if wanted == ordinal {
			return
		}
	}
	interest.columns = append(interest.columns, ordinal)
}

// WantAllColumns asks for every column, in their order.
func (interest *Interest) WantAllColumns() {
	interest.subscribed = true
	interest.columns = interest.columns[:0]
	for ordinal := range interest.schema.Columns {
		interest.columns = append(interest.columns, ordinal)
	}
}

func (interest *Interest) want(name string) {
	interest.subscribed = true
	for _, wanted := range interest.wants {
		if wanted == name {
			return
		}
	}
	interest.wants = append(interest.wants, name)
}

// WantBeforeImages asks for the before images of the wanted columns too.
func (interest *Interest) WantBeforeImages() { interest.want("before-image") }

// WantHeaders asks for headers that earlier plugins added.
func (interest *Interest) WantHeaders() { interest.want("headers") }

// WantPositions asks for each change's position and snapshot marker.
func (interest *Interest) WantPositions() { interest.want("positions") }

// WantCommitTimes asks for each change's commit time.
func (interest *Interest) WantCommitTimes() { interest.want("commit-times") }

// WantTransactions asks for each change's transaction and its place in it.
func (interest *Interest) WantTransactions() { interest.want("transactions") }

// RemoveColumn has a column not leave.
func (interest *Interest) RemoveColumn(ordinal int) {
	interest.shaped = true
	interest.removed = append(interest.removed, ordinal)
}

// RetypeColumn gives a column another name, another type, or both. A value that is not set stays;
// where the new type cannot hold it, the call fails.
func (interest *Interest) RetypeColumn(ordinal int, info ColumnInfo) {
	interest.shaped = true
	interest.retyped = append(interest.retyped, ordinal)
	interest.infos[ordinal] = info
}

// AddColumn adds a column and gives its ordinal. In an after image one that is not set is NULL.
func (interest *Interest) AddColumn(info ColumnInfo) int {
	interest.shaped = true
	interest.infos = append(interest.infos, info)
	return len(interest.infos) - 1
}

// SetKey chooses the key's columns, in key order; none: no key.
func (interest *Interest) SetKey(ordinals ...int) {
	interest.shaped, interest.rekeyed = true, true
	interest.key = ordinals
}

// SetStream has the table's changes leave on another stream than the route's.
func (interest *Interest) SetStream(stream string) {
	interest.shaped = true
	interest.stream = &stream
}

// SetName chooses the namespace and the table by which sinks name the record.
func (interest *Interest) SetName(namespace, table string) {
	interest.shaped = true
	interest.name = &[2]string{namespace, table}
}

// Flat has the row alone leave, without before and after images.
func (interest *Interest) Flat() { interest.form = `"flat"` }

// Opaque has the value of one column leave, as it is, and nothing else.
func (interest *Interest) Opaque(ordinal int, contentType string) {
	interest.form = string(appendOpaque(nil, ordinal, contentType))
}

// Output says what emitted rows are: a definition beside the table's own.
type Output struct {
	Name    string
	Columns []ColumnInfo
	// Key has the ordinals of the key's columns in key order; empty: no key.
	Key []int
	// Stream is that of rows that name none; empty: the parent's.
	Stream string
	// Flat: the row alone instead of before and after images.
	Flat bool
	// ContentType, where it is not empty: the value of the column Payload as it is, instead of
	// images.
	ContentType string
	Payload     int
}

// AddOutput declares an output and gives its number, which [Verdict.Emit] takes.
func (interest *Interest) AddOutput(output Output) int {
	interest.outputs = append(interest.outputs, output)
	return len(interest.outputs) - 1
}

// keep notes what batches and verdicts go by.
func (interest *Interest) keep() {
	told := &interest.schema.told
	told.places = make([]int, len(interest.schema.Columns))
	for ordinal := range told.places {
		told.places[ordinal] = -1
	}
	for place, ordinal := range interest.columns {
		if ordinal >= 0 && ordinal < len(told.places) {
			told.places[ordinal] = place
		}
	}
	told.kinds = kindsOf(interest.infos)
	told.leaving = map[string]int{}
	for ordinal := range interest.infos {
		told.leaving[interest.infos[ordinal].Name] = ordinal
	}
	told.outputs = make([][]Kind, len(interest.outputs))
	for at := range interest.outputs {
		told.outputs[at] = kindsOf(interest.outputs[at].Columns)
	}
}

func kindsOf(columns []ColumnInfo) []Kind {
	kinds := make([]Kind, len(columns))
	for at := range columns {
		kinds[at] = columns[at].Kind
	}
	return kinds
}

// ---- As JSON

func (interest *Interest) appendJSON(out []byte) []byte {
	out = appendFlag(out, `{"ok":{"subscribe":`, interest.subscribed)
	out = append(out, `,"columns":`...)
	out = appendNumbers(out, interest.columns)
	out = append(out, `,"wants":`...)
	out = appendTexts(out, append([]string{"packed-text"}, interest.wants...))
	if interest.shaped {
		out = interest.appendShape(append(out, `,"shape":`...))
	}
	if interest.form != "" {
		out = append(append(out, `,"form":`...), interest.form...)
	}
	out = append(out, `,"outputs":`...)
	out = appendList(out, interest.outputs, appendOutput)
	return append(out, "}}"...)
}

func (interest *Interest) appendShape(out []byte) []byte {
	out = append(out, `{"remove":`...)
	out = appendNumbers(out, interest.removed)
	out = append(out, `,"retype":`...)
	out = appendList(out, interest.retyped, func(out []byte, ordinal int) []byte {
		out = strconv.AppendInt(append(out, '['), int64(ordinal), 10)
		return append(appendColumnInfo(append(out, ','), interest.infos[ordinal]), ']')
	})
	out = append(out, `,"add":`...)
	out = appendList(out, interest.infos[len(interest.schema.Columns):], appendColumnInfo)
	if interest.rekeyed {
		out = appendNumbers(append(out, `,"key":`...), interest.key)
	}
	if interest.stream != nil {
		out = appendMember(out, `,"stream":`, *interest.stream)
	}
	if interest.name != nil {
		out = appendTexts(append(out, `,"name":`...), interest.name[:])
	}
	return append(out, '}')
}

func appendColumnInfo(out []byte, info ColumnInfo) []byte {
	out = appendMember(out, `{"name":`, info.Name)
	out = appendMember(out, `,"kind":`, info.Kind.String())
	out = appendMember(out, `,"logical":`, info.Logical)
	out = appendMember(out, `,"native":`, info.Native)
	out = appendFlag(out, `,"nullable":`, info.Nullable)
	out = append(out, `,"labels":`...)
	return append(appendTexts(out, info.Labels), '}')
}

func appendOpaque(out []byte, payload int, contentType string) []byte {
	out = append(out, `{"opaque":{"payload":`...)
	out = strconv.AppendInt(out, int64(payload), 10)
	out = appendMember(out, `,"content-type":`, contentType)
	return append(out, "}}"...)
}

func appendOutput(out []byte, output Output) []byte {
	out = appendMember(out, `{"name":`, output.Name)
	out = append(out, `,"columns":`...)
	out = appendList(out, output.Columns, appendColumnInfo)
	out = append(out, `,"key":`...)
	out = appendNumbers(out, output.Key)
	switch {
	case output.ContentType != "":
		out = appendOpaque(append(out, `,"form":`...), output.Payload, output.ContentType)
	case output.Flat:
		out = append(out, `,"form":"flat"`...)
	}
	if output.Stream != "" {
		out = appendMember(out, `,"stream":`, output.Stream)
	}
	return append(out, '}')
}
