// Package offtake is the SDK for plugins of the Offtake gateway in Go: three methods.
//
// A plugin sees the changes of a database on their way to the gateway's log, up to 256 at a time
// and only the columns that it asked for, and says what becomes of them. README.md goes from
// nothing to a tested plugin; this package's documentation is the reference. It imports nothing of
// the standard library that brings reflection (fmt, encoding/json), which would double the module;
// a plugin may.
//
// What holds for every plugin:
//
//   - No surroundings. No file, network, clock or randomness; equal batches give equal answers, and
//     cutting the same changes into other batches changes nothing. What a plugin keeps in memory is
//     a cache: the gateway may start a fresh instance between two calls. The order of a map must
//     not decide what a verdict says.
//   - Saying nothing passes everything. Only what the verdict names is touched.
//   - Four states. A column of a row has a value, or is NULL, or is unchanged (a large value that
//     the update left alone; the database does not send it), or absent (not in this image).
//   - Failures name no values. Messages and log lines end up in files; rows must not.
//   - What the gateway handed over (batches, columns, bytes) is valid until the method returns.
//     Strings are copies and may be kept.
package offtake

// Plugin is what a plugin's author writes. Calls come one at a time.
//
// An error that is a [Failure] is told to the gateway. Of any other, only its type is: the text of
// an error such as strconv's repeats the value that it is about. A panic ends the instance, and its
// place is told, without the panic's own text; the changes are tried on a fresh instance.
type Plugin interface {
	// Configure reads the configuration and says who the plugin is. Called once, first. An error
	// refuses the configuration: the gateway shows it and does not start.
	Configure(config *Config) (Info, error)

	// OnSchema says what the plugin wants to see of a table. Called once a table, and again when
	// its definition changed. Of an interest that is left empty, the plugin is never called for
	// the table. An error stops the pipeline: the plugin cannot work on such a table.
	OnSchema(schema *Schema, interest *Interest) error

	// Process looks at changes of one table and fills in the verdict. An error fails the whole
	// call, and nothing of the verdict is used; [Verdict.Fail] fails one change.
	Process(batch *Batch, verdict *Verdict) error
}

// Info is what a plugin says of itself.
type Info struct {
	// Name and Version must not be empty.
	Name, Version string
	// Protects says that the plugin keeps something secret: it is always given both images, and no
	// failure of it lets a change pass.
	Protects bool
	// RequiredColumns are those that a plugin which protects promises to cover. Each must exist in
	// at least one table that the plugin is used for.
	RequiredColumns []string
	// Stateful says that the plugin keeps [State], which the gateway's configuration has to grant.
	Stateful bool
}

// registered is the plugin of this module.
var registered Plugin

// Register makes a plugin that of this module. To be called in an init function: the gateway does
// not run main.
func Register(plugin Plugin) { registered = plugin }

// callConfigure answers offtake_configure: JSON in, JSON out.
func callConfigure(input []byte) []byte {
	config, err := readConfig(input)
	if err != nil {
		return appendError(nil, err)
	}
	if registered == nil {
		return appendError(nil, Refuse("the module has no plugin: offtake.Register is to be called in init"))
	}
	info, err := registered.Configure(config)
	if err != nil {
		return appendError(nil, err)
	}
	out := appendMember(nil, `{"ok":{"name":`, info.Name)
	out = appendMember(out, `,"version":`, info.Version)
	out = appendFlag(out, `,"protects":`, info.Protects)
	out = append(out, `,"required-columns":`...)
	out = appendTexts(out, info.RequiredColumns)
	if info.Stateful {
		out = append(out, `,"stateful":true`...)
	}
	return append(out, "}}"...)
}

// callOnSchema answers offtake_on_schema: JSON in, JSON out.
func callOnSchema(input []byte) []byte {
	schema, ok := readSchema(input)
	if !ok {
		return appendError(nil, Refuse("the schema cannot be read"))
	}
	interest := beginInterest(schema)
	if err := registered.OnSchema(schema, interest); err != nil {
		return appendError(nil, err)
	}
	interest.keep()
	schemas[schema.ID] = schema
	return interest.appendJSON(nil)
}

// The batch and the verdict are used again by each call, and with them what they have allocated.
var (
	currentBatch   Batch
	currentVerdict Verdict
)

// answered keeps the collector from what the gateway has yet to read.
var answered []byte

// callProcess answers offtake_process: a batch frame in, a verdict or failure frame out. Empty:
// everything passes as it is.
func callProcess(frame []byte) []byte {
	if !currentBatch.read(frame) {
		return failureFrame(nil, Refuse("the batch cannot be read"))
	}
	currentVerdict.begin(&currentBatch)
	if err := registered.Process(&currentBatch, &currentVerdict); err != nil {
		return failureFrame(nil, err)
	}
	return currentVerdict.finish()
}
