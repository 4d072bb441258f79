package offtake

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Reads and writes the JSON of the two cold calls. encoding/json would nearly double the module, and
// with it what a gateway compiles at its first start. The text is the gateway's, so well formed; a
// mistake is noted all the same, and no value is made up for it.

// jsonReader goes through a text once. After a mistake it gives nothing more.
type jsonReader struct {
	text   []byte
	at     int
	depth  int
	failed bool
}

// deepest is how many lists and objects may lie in each other.
const deepest = 128

// next is the first byte of the next token; 0 at the end.
func (in *jsonReader) next() byte {
	for in.at < len(in.text) && !in.failed {
		switch in.text[in.at] {
		case ' ', '\t', '\n', '\r':
			in.at++
		default:
			return in.text[in.at]
		}
	}
	return 0
}

// takes goes over a byte if it is the next token.
func (in *jsonReader) takes(token byte) bool {
	if in.next() != token {
		return false
	}
	in.at++
	return true
}

func (in *jsonReader) must(token byte) {
	if !in.takes(token) {
		in.failed = true
	}
}

// sequence goes through what stands between two brackets, separated by commas.
func (in *jsonReader) sequence(open, end byte, each func()) {
	in.must(open)
	if in.depth++; in.depth > deepest {
		in.failed = true
	}
	for first := true; !in.failed && !in.takes(end); first = false {
		if !first {
			in.must(',')
		}
		if !in.failed {
			each()
		}
	}
	in.depth--
}

// object reads an object; each must read one value.
func (in *jsonReader) object(each func(name string)) {
	in.sequence('{', '}', func() {
		name := in.string()
		in.must(':')
		if !in.failed {
			each(name)
		}
	})
}

// list reads a list; each must read one value.
func (in *jsonReader) list(each func()) { in.sequence('[', ']', each) }

// string reads a text.
func (in *jsonReader) string() string {
	in.must('"')
	var out []byte
	for !in.failed && in.at < len(in.text) {
		one := in.text[in.at]
		in.at++
		switch one {
		case '"':
			return string(out)
		case '\\':
			out = in.escaped(out)
		default:
			out = append(out, one)
		}
	}
	in.failed = true
	return ""
}

// escaped reads what follows a backslash.
func (in *jsonReader) escaped(out []byte) []byte {
	if in.at >= len(in.text) {
		in.failed = true
		return out
	}
	one := in.text[in.at]
	in.at++
	switch one {
	case '"', '\\', '/':
		return append(out, one)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		return utf8.AppendRune(out, in.unicode())
	}
	in.failed = true
	return out
}

// unicode reads what follows \u: a character, or half of a pair and then the other half.
func (in *jsonReader) unicode() rune {
	first := in.hex()
	if !utf16.IsSurrogate(first) {
		return first
	}
	if in.at+1 < len(in.text) && in.text[in.at] == '\\' && in.text[in.at+1] == 'u' {
		before := in.at
		in.at += 2
		if whole := utf16.DecodeRune(first, in.hex()); whole != utf8.RuneError {
			return whole
		}
		in.at = before
	}
	return utf8.RuneError
}

func (in *jsonReader) hex() rune {
	if in.at+4 > len(in.text) {
		in.failed = true
		return 0
	}
	number, err := strconv.ParseUint(string(in.text[in.at:in.at+4]), 16, 16)
	if err != nil {
		in.failed = true
	}
	in.at += 4
	return rune(number)
}

// number reads a number as it is written.
func (in *jsonReader) number() string {
	in.next()
	begin := in.at
	for in.at < len(in.text) {
		switch one := in.text[in.at]; {
		case one >= '0' && one <= '9', one == '-', one == '+', one == '.', one == 'e', one == 'E':
			in.at++
			continue
		}
		break
	}
	if begin == in.at {
		in.failed = true
	}
	return string(in.text[begin:in.at])
}

// ordinal reads an unsigned number of 32 bits.
func (in *jsonReader) ordinal() uint32 {
	number, err := strconv.ParseUint(in.number(), 10, 32)
	if err != nil {
		in.failed = true
	}
	return uint32(number)
}

// word reads true, false or null.
func (in *jsonReader) word() string {
	in.next()
	for _, word := range []string{"true", "false", "null"} {
		if end := in.at + len(word); end <= len(in.text) && string(in.text[in.at:end]) == word {
			in.at = end
			return word
		}
	}
	in.failed = true
	return ""
}

// skip goes over a value and gives it as it is written.
func (in *jsonReader) skip() []byte {
	first := in.next()
	begin := in.at
	switch first {
	case '{':
		in.object(func(string) { in.skip() })
	case '[':
		in.list(func() { in.skip() })
	case '"':
		in.string()
	case 't', 'f', 'n':
		in.word()
	default:
		in.number()
	}
	return in.text[begin:in.at]
}

// ---- Writing

const hexDigits = "0123456789abcdef"

// appendJSONText writes a text with its quotes. Bytes that are no UTF-8 become U+FFFD.
func appendJSONText(out []byte, text string) []byte {
	out = append(out, '"')
	for _, one := range text {
		switch {
		case one == '"' || one == '\\':
			out = append(out, '\\', byte(one))
		case one < ' ':
			out = append(out, '\\', 'u', '0', '0', hexDigits[one>>4], hexDigits[one&15])
		default:
			out = utf8.AppendRune(out, one)
		}
	}
	return append(out, '"')
}

// appendMember writes a literal that ends with a name, then a text.
func appendMember(out []byte, before, text string) []byte {
	return appendJSONText(append(out, before...), text)
}

// appendFlag writes a literal that ends with a name, then a boolean.
func appendFlag(out []byte, before string, value bool) []byte {
	return strconv.AppendBool(append(out, before...), value)
}

func appendTexts(out []byte, texts []string) []byte {
	return appendList(out, texts, appendJSONText)
}

func appendNumbers(out []byte, numbers []int) []byte {
	return appendList(out, numbers, func(out []byte, number int) []byte {
		return strconv.AppendInt(out, int64(number), 10)
	})
}

// appendList writes a list of what one function writes.
func appendList[T any](out []byte, items []T, one func([]byte, T) []byte) []byte {
	out = append(out, '[')
	for at, item := range items {
		if at > 0 {
			out = append(out, ',')
		}
		out = one(out, item)
	}
	return append(out, ']')
}

// appendError is the answer that refuses.
func appendError(out []byte, err error) []byte {
	failure := told(err)
	out = appendMember(out, `{"error":{"message":`, failure.Message)
	out = appendFlag(out, `,"permanent":`, failure.Permanent)
	return append(out, "}}"...)
}
