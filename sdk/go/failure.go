package offtake

import (
	"errors"
	"reflect"
)

// Failure is an error that may be told: its message repeats no value of a row.
type Failure struct {
	// Message says what is wrong; it ends up in logs and dead letters.
	Message string
	// Permanent: another attempt would meet it again.
	Permanent bool
}

// Error gives the message.
func (failure *Failure) Error() string { return failure.Message }

// Refuse makes a failure that another attempt would meet again. The message must not repeat values
// of rows.
func Refuse(message string) error { return &Failure{Message: message, Permanent: true} }

// Retry makes a failure that a fresh instance may not meet. The message must not repeat values of
// rows.
func Retry(message string) error { return &Failure{Message: message} }

// told is what may be said of an error: a failure, also one that another error wraps, as it is; of
// all others the type.
func told(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) && failure != nil {
		return failure
	}
	return &Failure{
		Message: "an error of type " + reflect.TypeOf(err).String() +
			", whose text is left out: it may repeat a value (offtake.Refuse says what may be told)",
		Permanent: true,
	}
}

// failureFrame fails a whole call.
func failureFrame(out []byte, err error) []byte {
	failure := told(err)
	out = append(out, "OTF1"...)
	out = appendUint32(out, flag(failure.Permanent))
	return appendText(out, failure.Message)
}
