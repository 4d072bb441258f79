package main

import "testing"

func TestWhatIsKeptAndWhatIsCovered(t *testing.T) {
	for _, one := range []struct {
		text          string
		keep          int
		kept, covered int
	}{
		{"ada@example.com", 1, 1, 14},
		{"𝄞é", 1, 4, 1},
		{"x", 1, 0, 1}, // no longer than what is kept: covered whole
		{"", 1, 0, 0},
		{"abc", 0, 0, 3},
	} {
		kept, covered := split([]byte(one.text), one.keep)
		if kept != one.kept || covered != one.covered {
			t.Errorf("%q keeps %d bytes and covers %d characters", one.text, kept, covered)
		}
	}
}
