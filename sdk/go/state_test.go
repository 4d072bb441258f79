package offtake

import (
	"bytes"
	"testing"
)

func TestKeysAreFramedAsTheSpecificationSays(t *testing.T) {
	frame := keysFrame([][]byte{[]byte("n"), nil, []byte("abcde")})
	expected := []byte("\x03\x00\x00\x00\x01\x00\x00\x00n\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00abcde\x00\x00\x00")
	if !bytes.Equal(frame, expected) {
		t.Fatalf("%q", frame)
	}
}

func TestNothingIsKeptOutsideAGateway(t *testing.T) {
	State.PutMany([]Entry{{Key: []byte("n"), Value: []byte("7")}}, NoEnd)
	for _, value := range State.GetMany([][]byte{[]byte("n"), []byte("m")}) {
		if value != nil {
			t.Fatalf("%q", value)
		}
	}
	if len(State.GetMany(nil)) != 0 {
		t.Fatal("values of no keys")
	}
}
