package offtake

import "math/bits"

// Characters of UTF-8 as it lies in a batch, which is valid. unicode/utf8 checks it again, a byte at a
// time; in WebAssembly that is most of what covering a text costs.

// Characters counts the characters (Unicode scalar values) of a text.
func Characters(text []byte) int {
	characters, rest := len(text), text
	for len(rest) >= 8 {
		word := firstWord(rest)
		// A byte that goes on with a character begins with the bits 10.
		characters -= bits.OnesCount64(word >> 7 &^ (word >> 6) & 0x0101010101010101)
		rest = rest[8:]
	}
	for _, one := range rest {
		if one&0xc0 == 0x80 {
			characters--
		}
	}
	return characters
}

// Prefix is how many bytes the first characters of a text take: all of them where it has no more.
func Prefix(text []byte, characters int) int {
	for at, one := range text {
		if one&0xc0 == 0x80 {
			continue
		}
		if characters == 0 {
			return at
		}
		characters--
	}
	return len(text)
}
