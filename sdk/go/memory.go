package offtake

import (
	"runtime"
	"unsafe"
)

// What the gateway writes and reads, as Go sees it. Everything that the compiler cannot check is in
// this file (and the addresses that the exports pass). A frame is seen through slices with a length,
// checked when a column is begun; from there on Go's own bounds checks hold.

// input is where the gateway writes an argument. A list of words, so that it begins at a multiple
// of 8; held here, so that the collector leaves it while the gateway writes. Go's collector moves
// nothing.
var input []uint64

// keptBytes is how large a buffer may be and be kept for the next call. A larger one was for a row
// of unusual size.
const keptBytes = 4 << 20

// room gives a place for an argument. What an earlier call was given is gone with it.
func room(length int) []byte {
	words := length/8 + 1
	if words > len(input) || len(input) > keptBytes/8 {
		input = nil // the collector may have it before the next is made
		size := max(words+words/4, 8<<10)
		if length > keptBytes {
			size = words
			// Such a change takes several times its size until it is answered. What was for another
			// one would come on top of that.
			currentVerdict.release()
			runtime.GC()
		}
		input = make([]uint64, size)
	}
	return argument(length)
}

// argument is what was written into the room.
func argument(length int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(input))), len(input)*8)[:length]
}

// number is what a frame has lists of.
type number interface {
	uint32 | int64 | uint64 | float64
}

// numbers sees bytes of a frame as a list of numbers, as many as fit. A frame is little-endian, and
// so is WebAssembly. Nil where they are not aligned.
func numbers[T number](bytes []byte) []T {
	var one T
	data := unsafe.Pointer(unsafe.SliceData(bytes))
	if uintptr(data)%unsafe.Sizeof(one) != 0 {
		return nil
	}
	return unsafe.Slice((*T)(data), len(bytes)/int(unsafe.Sizeof(one)))
}

// bytesOf sees a list of numbers as the bytes that a frame has of them.
func bytesOf[T number](list []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(one)))
}

// firstWord sees the first eight bytes as a number; there must be as many.
func firstWord(bytes []byte) uint64 {
	return *(*uint64)(unsafe.Pointer(unsafe.SliceData(bytes[:8])))
}

// address is where bytes begin, as the gateway counts.
func address(bytes []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}

// ---- Writing a frame

func appendUint32(out []byte, value uint32) []byte {
	return append(out, byte(value), byte(value>>8), byte(value>>16), byte(value>>24))
}

// appendText writes a length, bytes and padding to a multiple of 4.
func appendText[T string | []byte](out []byte, text T) []byte {
	out = appendUint32(out, uint32(len(text)))
	return pad(append(out, text...), 4)
}

var zeroes [8]byte

// pad writes zeroes up to a multiple of a power of two of at most 8.
func pad(out []byte, to int) []byte {
	return append(out, zeroes[:-len(out)&(to-1)]...)
}

// reserve gives an empty buffer with room for so many bytes: out, if it has. Growing piece by piece
// would leave behind several times as much.
func reserve(out []byte, length int) []byte {
	if length <= cap(out) {
		return out[:0]
	}
	return make([]byte, 0, length)
}

// grow makes bytes longer; what is in the new ones is to be written.
func grow(bytes []byte, by int) []byte {
	if length := len(bytes) + by; length <= cap(bytes) {
		return bytes[:length]
	}
	return append(bytes, make([]byte, by)...)
}

func flag(value bool) uint32 {
	if value {
		return 1
	}
	return 0
}
