// Distance measures cold fetches of go against the round-trip time: plain go, go with
// GOMAXPROCS=32, gofix, gofix without its relay, and the limit, the same files by one HTTP/2
// client. A module proxy with HTTPS, HTTP/2 and a checksum database of its own and the one who
// asks it each live in a network namespace, and scripts/lossy is the line between them.
//
//	distance run [flags]
//
// By default it fetches small modules that are made up. With -real it does so for real projects,
// whose modules are recorded first, through the module proxy of the machine's GOPROXY, by
// running every command once. Needs root, ip and a go.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"run": run, "serve": serve, "fetch": fetch}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: distance run | serve | fetch [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "distance:", err)
		os.Exit(1)
	}
}
