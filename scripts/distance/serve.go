package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What stands in a folder for a path that the proxy has not got.
const nothing = ".404"

// A store is a folder with what a module proxy serves, by path.
type store struct {
	dir string
	// Where to get what is missing; empty to get nothing.
	upstream string
	fetching sync.Map // path to *sync.Once
}

// get is the file for a path, and whether there is one.
func (s *store) get(path string) (string, bool) {
	file := filepath.Join(s.dir, filepath.FromSlash(path))
	if s.upstream != "" {
		once, _ := s.fetching.LoadOrStore(path, new(sync.Once))
		once.(*sync.Once).Do(func() {
			if err := s.fill(path, file); err != nil {
				log.Printf("%s: %v", path, err)
			}
		})
	}
	info, err := os.Stat(file)
	return file, err == nil && info.Mode().IsRegular()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// fill gets one file, changed to what proxy.golang.org says where a mirror differs: no list
// names a pseudo-version, and there is an @latest.
func (s *store) fill(path, file string) error {
	if exists(file) || exists(file+nothing) {
		return nil
	}
	body, err := s.upstreamHas(path)
	if err != nil {
		return err
	}
	mod, what, _ := strings.Cut(path, "/@")
	switch {
	case what == "v/list" && body != nil:
		var tagged []string
		for _, version := range strings.Fields(string(body)) {
			if !module.IsPseudoVersion(version) {
				tagged = append(tagged, version+"\n")
			}
		}
		body = []byte(strings.Join(tagged, ""))
	case what == "latest" && body == nil:
		list, err := s.upstreamHas(mod + "/@v/list")
		if err != nil {
			return err
		}
		if versions := strings.Fields(string(list)); len(versions) > 0 {
			semver.Sort(versions)
			if body, err = s.upstreamHas(mod + "/@v/" + versions[len(versions)-1] + ".info"); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	if body == nil {
		return os.WriteFile(file+nothing, nil, 0o666)
	}
	if err := os.WriteFile(file+".new", body, 0o666); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// upstreamHas is what the proxy serves for a path; nil where it says that it has nothing.
func (s *store) upstreamHas(path string) ([]byte, error) {
	for try := 0; ; try++ {
		body, err := func() ([]byte, error) {
			answer, err := http.Get(s.upstream + "/" + strings.ReplaceAll(path, "!", "%21"))
			if err != nil {
				return nil, err
			}
			defer answer.Body.Close()
			switch answer.StatusCode {
			case 200:
				return io.ReadAll(answer.Body)
			case 403, 404, 410:
				return nil, nil
			}
			return nil, errors.New(answer.Status)
		}()
		if err == nil || try == 4 {
			return body, err
		}
	}
}

// sums is what the checksum database says: the go.sum lines of each module version in the store.
// They are computed once and kept beside it.
func (s *store) sums() (map[module.Version]string, error) {
	sums := map[module.Version]string{}
	cache := filepath.Join(s.dir, "sums.json")
	kept := map[string]string{}
	if text, err := os.ReadFile(cache); err == nil {
		if err := json.Unmarshal(text, &kept); err != nil {
			return nil, err
		}
	}
	changed := false
	err := filepath.WalkDir(s.dir, func(file string, entry os.DirEntry, err error) error {
		name, ok := strings.CutSuffix(file, ".mod")
		if err != nil || !ok {
			return err
		}
		relative, _ := filepath.Rel(s.dir, name)
		escaped, escapedVersion, ok := strings.Cut(filepath.ToSlash(relative), "/@v/")
		if !ok {
			return nil
		}
		path, err := module.UnescapePath(escaped)
		if err != nil {
			return err
		}
		version, err := module.UnescapeVersion(escapedVersion)
		if err != nil || !semver.IsValid(version) {
			return nil
		}
		zip := name + ".zip"
		key := path + "@" + version
		if exists(zip) {
			key += " zip"
		}
		if kept[key] == "" {
			mod, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			open := func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(mod))), nil }
			modSum, err := dirhash.Hash1([]string{"go.mod"}, open)
			if err != nil {
				return err
			}
			// A zip that nobody asked for so far has some sum.
			zipSum := modSum
			if exists(zip) {
				if zipSum, err = dirhash.HashZip(zip, dirhash.Hash1); err != nil {
					return err
				}
			}
			kept[key] = fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", path, version, zipSum, path, version, modSum)
			changed = true
		}
		sums[module.Version{Path: path, Version: version}] = kept[key]
		return nil
	})
	if err == nil && changed {
		var text []byte
		if text, err = json.Marshal(kept); err == nil {
			err = os.WriteFile(cache, text, 0o666)
		}
	}
	return sums, err
}

// A database is a checksum database as large as it takes for a lookup to be followed by as many
// tiles as sum.golang.org's is, but for one level.
type database struct {
	records []string
	ids     map[module.Version]int64
	hashes  []tlog.Hash
	signed  []byte
}

const databaseSize = 1 << 19

const databaseName = "sum.example.test"

func newDatabase(sums map[module.Version]string, key string) (*database, error) {
	signer, err := note.NewSigner(key)
	if err != nil {
		return nil, err
	}
	d := &database{records: make([]string, databaseSize), ids: map[module.Version]int64{}}
	versions := make([]module.Version, 0, len(sums))
	for version := range sums {
		versions = append(versions, version)
	}
	module.Sort(versions)
	apart := databaseSize / (len(versions) + 1)
	for n, version := range versions {
		// Not in the order of their names.
		id := int64((n*7919)%len(versions)*apart + 17)
		for d.records[id] != "" {
			id++
		}
		d.records[id] = sums[version]
		d.ids[version] = id
	}
	for id := range d.records {
		if d.records[id] == "" {
			d.records[id] = fmt.Sprintf("example.com/%d v1.0.0 h1:\n", id)
		}
		hashes, err := tlog.StoredHashes(int64(id), []byte(d.records[id]), d)
		if err != nil {
			return nil, err
		}
		d.hashes = append(d.hashes, hashes...)
	}
	root, err := tlog.TreeHash(databaseSize, d)
	if err != nil {
		return nil, err
	}
	tree := tlog.FormatTree(tlog.Tree{N: databaseSize, Hash: root})
	d.signed, err = note.Sign(&note.Note{Text: string(tree)}, signer)
	return d, err
}

func (d *database) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		hashes = append(hashes, d.hashes[index])
	}
	return hashes, nil
}

func (d *database) Signed(context.Context) ([]byte, error) { return d.signed, nil }

func (d *database) ReadRecords(_ context.Context, id, n int64) ([][]byte, error) {
	var records [][]byte
	for _, record := range d.records[id : id+n] {
		records = append(records, []byte(record))
	}
	return records, nil
}

func (d *database) Lookup(_ context.Context, m module.Version) (int64, error) {
	if id, ok := d.ids[m]; ok {
		return id, nil
	}
	return 0, os.ErrNotExist
}

func (d *database) ReadTileData(_ context.Context, t tlog.Tile) ([]byte, error) {
	return tlog.ReadTileData(t, d)
}

// A request is one line of the server's log.
type request struct {
	Path string `json:"path"`
	// Milliseconds since the last mark.
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Status int     `json:"status"`
	Bytes  int64   `json:"bytes"`
}

// A journal is what a server has seen since the last mark.
type journal struct {
	Connections int64     `json:"connections"`
	Requests    []request `json:"requests"`
}

// A server serves a store by HTTPS and HTTP/2.
type server struct {
	store       *store
	database    http.Handler
	mutex       sync.Mutex
	since       time.Time
	requests    []request
	connections atomic.Int64
}

type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(bytes []byte) (int, error) {
	n, err := c.ResponseWriter.Write(bytes)
	c.bytes += int64(n)
	return n, err
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &counted{ResponseWriter: w, status: 200}
	from := time.Now()
	s.answer(c, r)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	since := func(t time.Time) float64 { return float64(t.Sub(s.since).Microseconds()) / 1000 }
	s.requests = append(s.requests, request{r.URL.Path[1:], since(from), since(time.Now()), c.status, c.bytes})
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path[1:]
	if rest, ok := strings.CutPrefix(path, "sumdb/"+databaseName); ok {
		if s.database == nil {
			http.NotFound(w, r)
			return
		}
		if rest == "/supported" {
			return
		}
		r.URL.Path = rest
		s.database.ServeHTTP(w, r)
		return
	}
	file, ok := s.store.get(path)
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	opened, err := os.Open(file)
	if err != nil {
		http.Error(w, "cannot be read", http.StatusInternalServerError)
		return
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		http.Error(w, "cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), opened)
}

// serve runs until its stdin ends. A line "mark" empties the log, a line "log" prints it.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	dir := flags.String("dir", "", "`folder` with what is served")
	listen := flags.String("listen", "127.0.0.1:0", "`address` to listen on")
	upstream := flags.String("record", "", "`URL` of a module proxy to get what is missing from")
	cert := flags.String("cert", "", "`file` with the certificate; HTTP without")
	key := flags.String("key", "", "`file` with its key")
	signer := flags.String("signer", "", "`key` of the checksum database")
	flags.Parse(args)
	s := &server{store: &store{dir: *dir, upstream: *upstream}, since: time.Now()}
	if *signer != "" {
		sums, err := s.store.sums()
		if err != nil {
			return err
		}
		d, err := newDatabase(sums, *signer)
		if err != nil {
			return err
		}
		s.database = sumdb.NewServer(d)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	h := &http.Server{
		Handler: s,
		HTTP2:   &http.HTTP2Config{MaxConcurrentStreams: 100},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	scheme := "http"
	if *cert != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return err
		}
		h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
		go h.ServeTLS(listener, "", "")
	} else {
		go h.Serve(listener)
	}
	fmt.Printf("%s://%s\n", scheme, listener.Addr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		s.mutex.Lock()
		switch lines.Text() {
		case "mark":
			s.since, s.requests = time.Now(), nil
			s.connections.Store(0)
			fmt.Println("{}")
		case "log":
			sort.Slice(s.requests, func(a, b int) bool { return s.requests[a].From < s.requests[b].From })
			if err := json.NewEncoder(os.Stdout).Encode(journal{s.connections.Load(), s.requests}); err != nil {
				return err
			}
		}
		s.mutex.Unlock()
	}
	return lines.Err()
}
