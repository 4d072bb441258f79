package offtake

import (
	"bytes"
	"strconv"
)

// Config is the plugin's `config` table. Values are read by their names; of one that is missing or
// of another type the first such mistake is kept, and [Config.Finish] gives it, so that no call
// needs a check of its own.
type Config struct {
	json    []byte
	members []member
	mistake string
}

type member struct {
	name string
	raw  []byte
	used bool
}

func readConfig(input []byte) (*Config, error) {
	config := &Config{json: bytes.Clone(input)}
	in := jsonReader{text: config.json}
	in.object(func(name string) {
		config.members = append(config.members, member{name: name, raw: in.skip()})
	})
	if in.failed || in.next() != 0 {
		return nil, Refuse("config: it is no table")
	}
	return config, nil
}

func (config *Config) note(name, mistake string) {
	if config.mistake == "" {
		config.mistake = "config: `" + name + "` " + mistake
	}
}

func (config *Config) find(name string) *member {
	for at := range config.members {
		if config.members[at].name == name {
			return &config.members[at]
		}
	}
	return nil
}

// Has says whether there is a value of that name.
func (config *Config) Has(name string) bool { return config.find(name) != nil }

// Raw is any value as JSON, for encoding/json or one's own reading; nil where there is none.
func (config *Config) Raw(name string) []byte {
	member := config.find(name)
	if member == nil {
		return nil
	}
	member.used = true
	return member.raw
}

// JSON is the whole table. Who reads it by other means has no use for [Config.Finish].
func (config *Config) JSON() []byte { return config.json }

// value is the JSON of a value, noted as missing where there is none.
func (config *Config) value(name string) []byte {
	raw := config.Raw(name)
	if raw == nil {
		config.note(name, "is missing")
	}
	return raw
}

// Text is a text that must be there.
func (config *Config) Text(name string) string {
	raw := config.value(name)
	if len(raw) == 0 || raw[0] != '"' {
		config.note(name, "is no text")
		return ""
	}
	in := jsonReader{text: raw}
	return in.string()
}

// TextOr is a text, or another where there is none.
func (config *Config) TextOr(name, other string) string {
	if !config.Has(name) {
		return other
	}
	return config.Text(name)
}

// Texts is a list of texts; nil where there is none.
func (config *Config) Texts(name string) []string {
	raw := config.Raw(name)
	if raw == nil {
		return nil
	}
	in := jsonReader{text: raw}
	texts := []string{}
	in.list(func() { texts = append(texts, in.string()) })
	if in.failed {
		config.note(name, "is no list of texts")
		return nil
	}
	return texts
}

// Int64 is an integer of 64 bits that must be there.
func (config *Config) Int64(name string) int64 {
	number, err := strconv.ParseInt(string(config.value(name)), 10, 64)
	if err != nil {
		config.note(name, "is no integer")
		return 0
	}
	return number
}

// Int64Or is an integer of 64 bits, or another where there is none.
func (config *Config) Int64Or(name string, other int64) int64 {
	if !config.Has(name) {
		return other
	}
	return config.Int64(name)
}

// BoolOr is a boolean, or another where there is none.
func (config *Config) BoolOr(name string, other bool) bool {
	switch string(config.Raw(name)) {
	case "":
		return other
	case "true":
		return true
	case "false":
		return false
	}
	config.note(name, "is neither true nor false")
	return false
}

// Finish gives the first mistake, or refuses a name that was not asked for.
func (config *Config) Finish() error {
	if config.mistake != "" {
		return Refuse(config.mistake)
	}
	for at := range config.members {
		if !config.members[at].used {
			return Refuse("config: `" + config.members[at].name + "` is unknown")
		}
	}
	return nil
}
