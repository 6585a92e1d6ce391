// Command load makes one kind of call over and over from a fixed number of connections and streams, and writes what
// came of it to standard output as JSON. Before that it makes its connections, writes "ready" and waits for a line on
// standard input, so that whoever measures the server leaves them out.
//
// It needs nothing beyond the standard library. Every call names another user: the body is a template in which ten
// number signs stand for the user's number, so that the template's length, and with it any length prefix, holds for
// all users.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// headers collects the values of a repeated flag, each "name: value".
type headers http.Header

func (h headers) String() string { return "" }

func (h headers) Set(line string) error {
	name, value, found := strings.Cut(line, ":")
	if !found {
		return fmt.Errorf("a header is 'name: value', not %q", line)
	}
	http.Header(h).Set(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// settings are what the command line says.
type settings struct {
	url         string
	header      http.Header
	body        string
	grpc        bool
	tls         *tls.Config
	unix        string
	rate        float64
	inOrder     bool
	first       uint64
	count       uint64
	seed        uint64
	connections int
	streams     int
	duration    time.Duration
}

func parse(arguments []string) (settings, error) {
	s := settings{header: http.Header{}}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&s.url, "url", "", "where to POST")
	flags.Var(headers(s.header), "header", "a header 'name: value'; may be repeated")
	flags.StringVar(&s.body, "body", "", "file with the template of the body")
	authorities := flags.String("ca", "", "file with the certificates to trust, for TLS")
	certificate := flags.String("certificate", "", "file with the certificate to show")
	key := flags.String("key", "", "file with its key")
	flags.StringVar(&s.unix, "unix", "", "unix socket to connect to, whatever the URL's host")
	flags.Float64Var(&s.rate, "rate", 0, "calls a second, over all streams; 0: as fast as answers come")
	flags.BoolVar(&s.grpc, "grpc", false, "HTTP/2, and grpc-status 0 is success; else HTTP/1.1, and 200 is")
	flags.BoolVar(&s.inOrder, "in-order", false, "each user once, from the first; else users at random")
	flags.Uint64Var(&s.first, "first", 0, "the first user's number")
	flags.Uint64Var(&s.count, "count", 1, "how many users to draw from at random")
	flags.Uint64Var(&s.seed, "seed", 1, "seed of the random draw")
	flags.IntVar(&s.connections, "connections", 4, "connections; over HTTP/1.1, groups of connections")
	flags.IntVar(&s.streams, "streams", 8, "calls in flight on each connection; over HTTP/1.1, connections in a group")
	flags.DurationVar(&s.duration, "duration", 5*time.Second, "how long to begin calls")
	if err := flags.Parse(arguments); err != nil || *authorities == "" {
		return s, err
	}
	var err error
	s.tls, err = newTLS(*authorities, *certificate, *key)
	return s, err
}

func run(arguments []string) error {
	s, err := parse(arguments)
	if err != nil {
		return err
	}
	template, err := os.ReadFile(s.body)
	if err != nil {
		return err
	}
	bodies, err := newBodies(template)
	if err != nil {
		return err
	}
	clients, err := connected(s)
	if err != nil {
		return err
	}
	if err := awaitTurn(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(drive(s, bodies, clients))
}

// awaitTurn says that everything is prepared, and waits for the word to begin.
func awaitTurn() error {
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
