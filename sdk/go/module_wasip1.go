package offtake

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// The doors of the module: what it imports from the gateway, and what it exports to it.

//go:wasmimport offtake log
func hostLog(level uint32, line string)

//go:wasmimport offtake counter
func hostCounter(name string) uint32

//go:wasmimport offtake histogram
func hostHistogram(name string) uint32

//go:wasmimport offtake add
func hostAdd(id, delta uint32)

//go:wasmimport offtake observe
func hostObserve(id uint32, value float64)

//go:wasmimport offtake state_get_many
func importGetMany(request unsafe.Pointer, length uint32) uint32

//go:wasmimport offtake state_read
func importRead(to unsafe.Pointer)

//go:wasmimport offtake state_put_many
func importPutMany(request unsafe.Pointer, length uint32, seconds int64)

//go:wasmimport offtake state_delete_many
func importDeleteMany(request unsafe.Pointer, length uint32)

func hostGetMany(request []byte) []byte {
	answer := make([]byte, importGetMany(pointer(request), uint32(len(request))))
	importRead(pointer(answer))
	return answer
}

func hostPutMany(request []byte, seconds int64) {
	importPutMany(pointer(request), uint32(len(request)), seconds)
}

func hostDeleteMany(request []byte) { importDeleteMany(pointer(request), uint32(len(request))) }

func pointer(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

//go:wasmimport wasi_snapshot_preview1 proc_exit
func procExit(status uint32)

//go:wasmexport offtake_abi_version
func abiVersion() uint32 { return 1 }

//go:wasmexport offtake_alloc
func alloc(length uint32) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(room(int(length))))
}

//go:wasmexport offtake_configure
func configure(_ unsafe.Pointer, length uint32) uint64 {
	defer endPanic()
	return answer(callConfigure(argument(int(length))))
}

//go:wasmexport offtake_on_schema
func onSchema(_ unsafe.Pointer, length uint32) uint64 {
	defer endPanic()
	return answer(callOnSchema(argument(int(length))))
}

//go:wasmexport offtake_process
func process(_ unsafe.Pointer, length uint32) uint64 {
	defer endPanic()
	return answer(callProcess(argument(int(length))))
}

func answer(bytes []byte) uint64 {
	answered = bytes
	if len(bytes) == 0 {
		return 0
	}
	return address(bytes)<<32 | uint64(len(bytes))
}

// endPanic ends the instance after a panic: what the plugin keeps may be half changed, so that no
// further change may be given to it. The place is told. What Go would print of an unrecovered panic
// is not: it may repeat a value of a row.
func endPanic() {
	if recover() == nil {
		return
	}
	Log(LevelError, "panicked at "+panicPlace())
	procExit(2)
}

// panicPlace is the first place on the stack that is neither the runtime's nor the SDK's, or else
// the SDK's.
func panicPlace() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	place := "a place unknown"
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		inSDK := strings.HasPrefix(frame.Function, "offtake.")
		if !inRuntime && frame.File != "" {
			place = path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
		}
		if !more || (!inRuntime && !inSDK) {
			return place
		}
	}
}
