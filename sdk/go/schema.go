package offtake

import "strings"

// Kind says how a column's values travel. Everything without a kind of its own is canonical text:
// decimals, times, UUIDs, JSON, lists.
type Kind uint8

// The kinds.
const (
	KindBoolean Kind = iota
	KindInt64
	KindUint64
	KindFloat64
	KindText
	KindBytes
)

var kindNames = [...]string{"boolean", "int64", "uint64", "float64", "text", "bytes"}

// String is the kind's name in the contract.
func (kind Kind) String() string {
	if int(kind) < len(kindNames) {
		return kindNames[kind]
	}
	return "unknown"
}

// ColumnInfo defines a column.
type ColumnInfo struct {
	Name string
	Kind Kind
	// Logical is the type in terms that do not depend on the database: `decimal(12,2)`,
	// `timestamptz`, `json`, `uuid`, `enum`, `list<int4>`.
	Logical string
	// Native is the database's own name of the type.
	Native   string
	Nullable bool
	// Labels are an enum's, in the enum's order.
	Labels []string
}

// logicalKinds are those of the logical types whose values have a kind of their own; all others are text.
var logicalKinds = map[string]Kind{
	"bool": KindBoolean,
	"int1": KindInt64, "int2": KindInt64, "int4": KindInt64, "int8": KindInt64, "oid": KindInt64,
	"uint1": KindUint64, "uint2": KindUint64, "uint4": KindUint64, "uint8": KindUint64,
	"float4": KindFloat64, "float8": KindFloat64,
	"bytes": KindBytes,
}

// NewColumn is a column that may be NULL, of a logical type, with the kind that goes with it: `text`,
// `int4`, `int8`, `float8`, `bool`, `bytes`, `decimal(12,2)`, `timestamptz`, `uuid`, `json`.
func NewColumn(name, logical string) ColumnInfo {
	kind, ok := logicalKinds[logical]
	if !ok {
		kind = KindText
	}
	return ColumnInfo{Name: name, Kind: kind, Logical: logical, Nullable: true}
}

// Required is the same column, but never NULL.
func (column ColumnInfo) Required() ColumnInfo {
	column.Nullable = false
	return column
}

// IsFreeText says whether any text is a proper value: `text`, `varchar`, `char` and their like.
// Decimals, times, UUIDs, JSON and lists travel as text too, but only some texts are their values.
func (column ColumnInfo) IsFreeText() bool {
	if column.Kind != KindText {
		return false
	}
	logical, _, _ := strings.Cut(column.Logical, "(") // it may carry a length
	switch logical {
	case "text", "string", "varchar", "char", "bpchar", "character", "citext", "name":
		return true
	}
	return false
}

// Schema is a table's definition. It stays for as long as the instance does.
type Schema struct {
	ID uint32
	// Message: the changes are logical messages, with the columns `prefix` and `content`.
	Message                    bool
	Database, Namespace, Table string
	// Version counts definitions of the same table.
	Version uint32
	Columns []ColumnInfo
	// Key has the ordinals of the key's columns in key order; empty: no key.
	Key []int
	// BeforeColumns has the ordinals of the columns that the source is known to send of a row
	// before its change.
	BeforeColumns []int
	// Own is for the plugin: what it worked out of this table.
	Own any

	ordinals map[string]int
	told     agreement
}

// agreement is what the plugin's interest in a table means for batches and verdicts.
type agreement struct {
	// places has for each column of the input where it lies in a batch; -1: it was not wanted.
	places []int
	// kinds and leaving have the columns as patches count them: the input's, then the added ones.
	kinds   []Kind
	leaving map[string]int
	// outputs has the kinds of each output's columns.
	outputs [][]Kind
}

// schemas has those told so far, by their ids.
var schemas = map[uint32]*Schema{}

// Ordinal is that of the column of that name, or -1.
func (schema *Schema) Ordinal(name string) int {
	if ordinal, ok := schema.ordinals[name]; ok {
		return ordinal
	}
	return -1
}

// Refuse is a permanent failure: `public.people.age has type int4: REASON`.
func (schema *Schema) Refuse(ordinal int, reason string) error {
	column := &schema.Columns[ordinal]
	return Refuse(schema.Namespace + "." + schema.Table + "." + column.Name + " has type " +
		column.Native + ": " + reason)
}

func readSchema(input []byte) (*Schema, bool) {
	schema := &Schema{ordinals: map[string]int{}}
	in := &jsonReader{text: input}
	in.object(func(name string) {
		switch name {
		case "id":
			schema.ID = in.ordinal()
		case "subject":
			schema.Message = in.string() == "message"
		case "database":
			schema.Database = in.string()
		case "namespace":
			schema.Namespace = in.string()
		case "table":
			schema.Table = in.string()
		case "version":
			schema.Version = in.ordinal()
		case "columns":
			in.list(func() { schema.Columns = append(schema.Columns, readColumnInfo(in)) })
		case "key":
			schema.Key = readOrdinals(in)
		case "before-columns":
			schema.BeforeColumns = readOrdinals(in)
		default:
			in.skip()
		}
	})
	for ordinal := range schema.Columns {
		schema.ordinals[schema.Columns[ordinal].Name] = ordinal
	}
	return schema, !in.failed
}

func readOrdinals(in *jsonReader) []int {
	var ordinals []int
	in.list(func() { ordinals = append(ordinals, int(in.ordinal())) })
	return ordinals
}

func readColumnInfo(in *jsonReader) ColumnInfo {
	var column ColumnInfo
	kind := ""
	in.object(func(name string) {
		switch name {
		case "name":
			column.Name = in.string()
		case "kind":
			kind = in.string()
		case "logical":
			column.Logical = in.string()
		case "native":
			column.Native = in.string()
		case "nullable":
			column.Nullable = in.word() == "true"
		case "labels":
			in.list(func() { column.Labels = append(column.Labels, in.string()) })
		default:
			in.skip()
		}
	})
	for at, name := range kindNames {
		if name == kind {
			column.Kind = Kind(at)
			return column
		}
	}
	in.failed = true
	return column
}
