package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// What one HTTP/2 client asks for at the same time.
const atOnce = 64

// fetch gets every path of its stdin, and nothing else: as fast as they can come.
func fetch(args []string) error {
	flags := flag.NewFlagSet("fetch", flag.ExitOnError)
	url := flags.String("url", "", "`URL` of the proxy")
	ca := flags.String("ca", "", "`file` with the root to trust")
	flags.Parse(args)
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}}
	get := func(path string) error {
		answer, err := client.Get(*url + "/" + strings.ReplaceAll(path, "!", "%21"))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	paths := make(chan string)
	var group sync.WaitGroup
	var failed error
	var once sync.Once
	worker := func() {
		defer group.Done()
		for path := range paths {
			if err := get(path); err != nil {
				once.Do(func() { failed = fmt.Errorf("%s: %v", path, err) })
			}
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	// The first one opens the connection that all share.
	if lines.Scan() {
		if err := get(lines.Text()); err != nil {
			return err
		}
	}
	for range atOnce {
		group.Add(1)
		go worker()
	}
	for lines.Scan() {
		paths <- lines.Text()
	}
	close(paths)
	group.Wait()
	return failed
}
