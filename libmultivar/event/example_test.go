package event_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Two requests of the same call that differ in their data.
func Example() {
	request := func(data string) event.Record {
		var b event.Builder
		b.Reset(event.Call, 1)
		b.Number(0, event.PartValue, 0, sysabi.FD, 0, 1)
		b.Bytes(1, event.PartBase, 0, sysabi.Buf, 0, []byte(data))
		r, err := event.Decode(b.Record())
		if err != nil {
			fmt.Println(err)
		}
		return r
	}
	a, b := request("hello"), request("hullo")
	i := event.Diff(a, b)
	fmt.Printf("field %d of argument %d: %q, %q\n", i, a.Fields[i].Arg, a.Fields[i].Data, b.Fields[i].Data)
	// Output: field 1 of argument 1: "hello", "hullo"
}
