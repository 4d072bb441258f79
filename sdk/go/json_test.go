package offtake

import (
	"encoding/json"
	"strings"
	"testing"
)

// configured is what a plugin answers that reads its configuration so.
func configured(text string, read func(*Config)) string {
	Register(functions{configure: func(config *Config) (Info, error) {
		read(config)
		return Info{Name: "test", Version: "1"}, config.Finish()
	}})
	return string(callConfigure(given([]byte(text))))
}

func refusal(message string) string {
	text, _ := json.Marshal(message)
	return `{"error":{"message":` + strings.ReplaceAll(string(text), `\u003c`, "<") + `,"permanent":true}}`
}

func TestValuesOfTheConfigurationAreExact(t *testing.T) {
	text := ` {"max" : 9223372036854775807, "min":-9223372036854775808, "on":true, "off":false,
		"name":"a\"\\\/\b\f\n\r\té𝄞😀\ud83dx", "list":["a", "b"], "deep":{"x":[1,{"y":null}]}} `
	answer := configured(text, func(config *Config) {
		if config.Int64("max") != 1<<63-1 || config.Int64Or("min", 0) != -1<<63 || config.Int64Or("none", 7) != 7 {
			t.Error("integers")
		}
		if !config.BoolOr("on", false) || config.BoolOr("off", true) || !config.BoolOr("none", true) {
			t.Error("booleans")
		}
		if name := config.Text("name"); name != "a\"\\/\b\f\n\r\té𝄞😀\ufffdx" || config.TextOr("none", "x") != "x" {
			t.Errorf("%q", name)
		}
		if list := config.Texts("list"); strings.Join(list, ",") != "a,b" || config.Texts("none") != nil {
			t.Errorf("%q", list)
		}
		if raw := string(config.Raw("deep")); raw != `{"x":[1,{"y":null}]}` || config.Has("none") {
			t.Error(raw)
		}
		if string(config.JSON()) != text {
			t.Errorf("%s", config.JSON())
		}
	})
	if answer != `{"ok":{"name":"test","version":"1","protects":false,"required-columns":[]}}` {
		t.Error(answer)
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	read := func(config *Config) {
		config.Text("a")
		config.Int64Or("b", 0)
		config.BoolOr("c", false)
		config.Texts("d")
	}
	for text, expected := range map[string]string{
		`{}`:                                "config: `a` is missing",
		`{"a":1}`:                           "config: `a` is no text",
		`{"a":"x","b":"1"}`:                 "config: `b` is no integer",
		`{"a":"x","b":9223372036854775808}`: "config: `b` is no integer",
		`{"a":"x","b":1.0}`:                 "config: `b` is no integer",
		`{"a":"x","c":0}`:                   "config: `c` is neither true nor false",
		`{"a":"x","d":["x",1]}`:             "config: `d` is no list of texts",
		`{"a":"x","e":null}`:                "config: `e` is unknown",
	} {
		if answer := configured(text, read); answer != refusal(expected) {
			t.Errorf("%s: %s", text, answer)
		}
	}
	// The first mistake is told, whatever follows.
	if answer := configured(`{"b":null}`, read); answer != refusal("config: `a` is missing") {
		t.Error(answer)
	}
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "[]", "1", "{", `{"a"}`, `{"a":}`, `{"a":1}}`, `{"a":"\x"}`, `{"a":1,}`, `{"a":"\"}`, `{"a":tru}`,
		`{"a":"\u12"}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":[1 2]}`, `{"a":+}x`, `{"a":` + strings.Repeat("[", 300),
	} {
		if answer := configured(text, func(*Config) {}); answer != refusal("config: it is no table") {
			t.Errorf("%s: %s", text, answer)
		}
	}
}

func TestAnInterestIsWrittenWhole(t *testing.T) {
	Register(functions{onSchema: func(schema *Schema, interest *Interest) error {
		if name := schema.Columns[1]; schema.Table != "people" || schema.Version != 2 || schema.Key[0] != 0 ||
			len(schema.BeforeColumns) != 2 || name.Native != "mood" || name.Labels[1] != "b" || !name.Nullable {
			t.Errorf("%+v", schema)
		}
		interest.WantColumn(1)
		interest.WantColumn(0)
		interest.WantColumn(1)
		interest.WantHeaders()
		interest.WantCommitTimes()
		interest.WantCommitTimes()
		interest.RemoveColumn(5)
		interest.RetypeColumn(0, ColumnInfo{Name: "number", Kind: KindText, Logical: "decimal(20,0)"})
		interest.SetKey(0, interest.AddColumn(ColumnInfo{Name: "a\"\n\xff", Kind: KindBytes, Logical: "bytes"}))
		interest.SetStream("all")
		interest.SetName("other", "table")
		interest.Opaque(1, "text/plain")
		interest.AddOutput(Output{Name: "one", Flat: true, Stream: "s", Key: []int{0},
			Columns: []ColumnInfo{{Name: "e", Kind: KindText, Logical: "enum", Native: "n", Nullable: true, Labels: []string{"a"}}}})
		interest.AddOutput(Output{Name: "two", ContentType: "application/json"})
		return nil
	}})
	answer := string(callOnSchema(given([]byte(table))))
	expected := `{"ok":{"subscribe":true,"columns":[1,0],"wants":["packed-text","headers","commit-times"],` +
		`"shape":{"remove":[5],` +
		`"retype":[[0,{"name":"number","kind":"text","logical":"decimal(20,0)","native":"","nullable":false,"labels":[]}]],` +
		`"add":[{"name":"a\"\u000a` + "\ufffd" + `","kind":"bytes","logical":"bytes","native":"","nullable":false,"labels":[]}],` +
		`"key":[0,6],"stream":"all","name":["other","table"]},` +
		`"form":{"opaque":{"payload":1,"content-type":"text/plain"}},` +
		`"outputs":[{"name":"one","columns":[{"name":"e","kind":"text","logical":"enum","native":"n","nullable":true,"labels":["a"]}],` +
		`"key":[0],"form":"flat","stream":"s"},` +
		`{"name":"two","columns":[],"key":[],"form":{"opaque":{"payload":0,"content-type":"application/json"}}}]}}`
	if answer != expected {
		t.Errorf("\n%s is not\n%s", answer, expected)
	}
	Register(functions{onSchema: func(*Schema, *Interest) error { return nil }})
	answer = string(callOnSchema(given([]byte(table))))
	if answer != `{"ok":{"subscribe":false,"columns":[],"wants":["packed-text"],"outputs":[]}}` {
		t.Error(answer)
	}
}

func TestASchemaThatCannotBeReadIsRefused(t *testing.T) {
	Register(functions{onSchema: everything})
	for _, text := range []string{
		"", strings.Replace(table, `"uint64"`, `"decimal"`, 1), strings.Replace(table, `"id":3`, `"id":-3`, 1),
		table[:len(table)-1],
	} {
		if answer := string(callOnSchema(given([]byte(text)))); answer != refusal("the schema cannot be read") {
			t.Error(answer)
		}
	}
}

func TestCharactersAreCountedAsUnicodeScalarValues(t *testing.T) {
	for _, text := range []string{"", "a", "éé", "𝄞é", "ascii only, longer than eight", strings.Repeat("𝄞aé€", 9)} {
		if count := Characters([]byte(text)); count != len([]rune(text)) {
			t.Errorf("%q has %d", text, count)
		}
		for keep := range 12 {
			expected := string([]rune(text)[:min(keep, len([]rune(text)))])
			if got := text[:Prefix([]byte(text), keep)]; got != expected {
				t.Errorf("the first %d of %q are %q", keep, text, got)
			}
		}
	}
}
