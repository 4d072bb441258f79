package offtake

// Level is how much a log line matters.
type Level uint32

// The levels.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line to the gateway's log at its debug level. Lines are cut at 4 KiB and limited in
// rate. They must not repeat values of rows.
func Log(level Level, line string) { hostLog(uint32(level), line) }

// Counter counts something, beside the gateway's own metrics.
type Counter struct{ id uint32 }

// NewCounter registers a counter by its name; to be called in Configure.
func NewCounter(name string) Counter { return Counter{hostCounter(name)} }

// Add adds to it.
func (counter Counter) Add(delta uint32) { hostAdd(counter.id, delta) }

// Histogram gathers a distribution.
type Histogram struct{ id uint32 }

// NewHistogram registers a histogram by its name; to be called in Configure.
func NewHistogram(name string) Histogram { return Histogram{hostHistogram(name)} }

// Observe adds a value to it.
func (histogram Histogram) Observe(value float64) { hostObserve(histogram.id, value) }
