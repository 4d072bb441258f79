package offtake

// State is what the plugin keeps: keys and values, with the position. After a crash both are as of
// the same change, and of a call that fails nothing is kept. It is there in Process alone, for a
// plugin whose [Info] says Stateful. A call of it costs more than a key in one: ask for all keys of a
// batch at once.
var State state

type state struct{}

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// NoEnd in place of seconds: the values do not end.
const NoEnd = -1

// GetMany gives one value a key, in the order of the keys; nil where there is none.
func (state) GetMany(keys [][]byte) [][]byte {
	answer := hostGetMany(keysFrame(keys))
	values := make([][]byte, len(keys))
	for at := range values {
		exists := takeUint32(&answer) == 1
		if !exists {
			continue
		}
		length := int(takeUint32(&answer))
		values[at] = answer[:length:length]
		answer = answer[(length+3)&^3:]
	}
	return values
}

// PutMany sets values, which are gone once so many seconds have passed, by commit times.
func (state) PutMany(entries []Entry, seconds int64) {
	frame := appendUint32(nil, uint32(len(entries)))
	for _, entry := range entries {
		frame = appendText(appendText(frame, entry.Key), entry.Value)
	}
	hostPutMany(frame, seconds)
}

// DeleteMany deletes values, where there are some.
func (state) DeleteMany(keys [][]byte) { hostDeleteMany(keysFrame(keys)) }

func keysFrame(keys [][]byte) []byte {
	frame := appendUint32(nil, uint32(len(keys)))
	for _, key := range keys {
		frame = appendText(frame, key)
	}
	return frame
}

// takeUint32 takes a number off the beginning.
func takeUint32(from *[]byte) uint32 {
	bytes := *from
	*from = bytes[4:]
	return uint32(bytes[0]) | uint32(bytes[1])<<8 | uint32(bytes[2])<<16 | uint32(bytes[3])<<24
}
