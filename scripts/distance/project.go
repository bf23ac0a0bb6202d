package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// A project is what the commands run in.
type project struct {
	name string
	// Its files; a module of its own is installed as PATH@VERSION.
	dir     string
	version module.Version
	command string
}

func (p *project) has(c command) bool { return !c.outside || p.command != "" }

func (p *project) args(c command) []string {
	if c.outside {
		return append(append([]string{}, c.args...), p.command+"@"+p.version.Version)
	}
	return c.args
}

func (p *project) layOut(to string, c command) error {
	if c.outside {
		return os.MkdirAll(to, 0o777)
	}
	if err := os.CopyFS(to, os.DirFS(p.dir)); err != nil {
		return err
	}
	if c.noSum {
		return os.Remove(filepath.Join(to, "go.sum"))
	}
	return nil
}

// projects are the real ones, or one that is made up, and the folder with their modules.
func (b *bench) projects(real, record string) ([]*project, string, error) {
	if real == "" {
		p, err := b.madeUp()
		return []*project{p}, filepath.Join(b.work, "store"), err
	}
	if record == "" {
		return nil, "", errors.New("-real needs -record")
	}
	s, err := b.recorder(record)
	if err != nil {
		return nil, "", err
	}
	var projects []*project
	for word := range strings.SplitSeq(real, ",") {
		path, version, ok := strings.Cut(word, "@")
		if !ok {
			return nil, "", fmt.Errorf("%s: no version", word)
		}
		p := &project{name: word, version: module.Version{Path: path, Version: version}, dir: filepath.Join(b.work, "projects", word)}
		if path == "github.com/mikefarah/yq/v4" {
			p.command = path
		}
		projects = append(projects, p)
		if err := s.unpack(p.version, p.dir); err != nil {
			return nil, "", err
		}
		if err := b.record(s, p); err != nil {
			return nil, "", err
		}
	}
	return projects, record, nil
}

func (b *bench) recorder(dir string) (*store, error) {
	out, err := exec.Command(b.goCommand, "env", "GOPROXY").Output()
	if err != nil {
		return nil, err
	}
	upstream, _, _ := strings.Cut(strings.TrimSpace(string(out)), ",")
	upstream, _, _ = strings.Cut(upstream, "|")
	return &store{dir: dir, upstream: upstream}, os.MkdirAll(dir, 0o777)
}

// record runs every command of a project once, unless that was done.
func (b *bench) record(s *store, p *project) error {
	done := filepath.Join(s.dir, "recorded-"+strings.ReplaceAll(p.name, "/", "_"))
	if exists(done) {
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go http.Serve(listener, &server{store: s, since: time.Now()})
	for _, c := range commands {
		if !p.has(c) {
			continue
		}
		work := filepath.Join(b.work, "record")
		exec.Command("chmod", "-R", "u+w", work).Run()
		if err := os.RemoveAll(work); err != nil {
			return err
		}
		if err := p.layOut(filepath.Join(work, "project"), c); err != nil {
			return err
		}
		run := exec.Command(b.goCommand, p.args(c)...)
		run.Dir = filepath.Join(work, "project")
		run.Env = goEnv(work, b.goCommand, "GOPROXY=http://"+listener.Addr().String(), "GOSUMDB=off")
		if out, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("recording %s of %s: %v\n%s", c.name, p.name, err, out)
		}
	}
	return os.WriteFile(done, nil, 0o666)
}

// unpack puts a module's files into a folder.
func (s *store) unpack(version module.Version, to string) error {
	escaped, err := module.EscapePath(version.Path)
	if err != nil {
		return err
	}
	file, ok := s.get(escaped + "/@v/" + version.Version + ".zip")
	if !ok {
		return fmt.Errorf("%v: no such module", version)
	}
	archive, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, f := range archive.File {
		name := filepath.Join(to, strings.TrimPrefix(f.Name, version.String()+"/"))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		in, err := f.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(in)
		if err := errors.Join(err, in.Close(), os.WriteFile(name, text, 0o666)); err != nil {
			return err
		}
	}
	return nil
}

// How many modules are made up, and how many of them the project imports itself.
const (
	madeUpModules = 60
	madeUpDirect  = 15
)

// madeUp is a project of modules that need one another, always the same: each imports up to three
// with a higher number, has two versions, and is between a few KB and 1 MB large.
func (b *bench) madeUp() (*project, error) {
	dir := filepath.Join(b.work, "store")
	random := rand.New(rand.NewPCG(1, 2))
	bytesOf := rand.NewChaCha8([32]byte{})
	path := func(n int) string { return fmt.Sprintf("example.com/m%02d", n) }
	needs := make([][]int, madeUpModules)
	below := make([]map[int]bool, madeUpModules)
	var sums strings.Builder
	for n := madeUpModules - 1; n >= 0; n-- {
		below[n] = map[int]bool{}
		for range random.IntN(4) {
			if n+1 < madeUpModules {
				needs[n] = append(needs[n], n+1+random.IntN(madeUpModules-n-1))
			}
		}
		for _, m := range needs[n] {
			below[n][m] = true
			for k := range below[m] {
				below[n][k] = true
			}
		}
		mod := goMod(path(n), path, below[n])
		var code strings.Builder
		fmt.Fprintf(&code, "package m%02d\n\n", n)
		for _, m := range needs[n] {
			fmt.Fprintf(&code, "import _ %q\n", path(m))
		}
		padding := make([]byte, 2000<<random.IntN(10))
		bytesOf.Read(padding)
		files := map[string][]byte{"go.mod": mod, "m.go": []byte(code.String()), "padding": padding}
		for _, version := range []string{"v1.0.0", "v1.1.0"} {
			sum, err := publish(dir, module.Version{Path: path(n), Version: version}, files)
			if err != nil {
				return nil, err
			}
			if version == "v1.0.0" {
				sums.WriteString(sum)
			}
		}
	}
	all := map[int]bool{}
	var code strings.Builder
	code.WriteString("package main\n\n")
	for n := range madeUpDirect {
		fmt.Fprintf(&code, "import _ %q\n", path(n))
		all[n] = true
		for m := range below[n] {
			all[m] = true
		}
	}
	code.WriteString("\nfunc main() {}\n")
	p := &project{name: "made up", command: "example.com/main", version: module.Version{Path: "example.com/main", Version: "v1.0.0"}, dir: filepath.Join(b.work, "projects", "made-up")}
	files := map[string][]byte{"go.mod": goMod(p.version.Path, path, all), "main.go": []byte(code.String())}
	if _, err := publish(dir, p.version, files); err != nil {
		return nil, err
	}
	files["go.sum"] = []byte(sums.String())
	if err := os.MkdirAll(p.dir, 0o777); err != nil {
		return nil, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o666); err != nil {
			return nil, err
		}
	}
	// go.sum and go.mod as go itself writes them.
	s := &store{dir: dir}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go http.Serve(listener, &server{store: s, since: time.Now()})
	run := exec.Command(b.goCommand, "mod", "tidy")
	run.Dir = p.dir
	run.Env = goEnv(filepath.Join(b.work, "record"), b.goCommand, "GOPROXY=http://"+listener.Addr().String(), "GOSUMDB=off")
	if out, err := run.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the made-up project: %v\n%s", err, out)
	}
	return p, nil
}

func goMod(own string, path func(int) string, needs map[int]bool) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "module %s\n\ngo 1.21\n\nrequire (\n", own)
	for n := range madeUpModules {
		if needs[n] {
			fmt.Fprintf(&text, "\t%s v1.0.0\n", path(n))
		}
	}
	text.WriteString(")\n")
	return []byte(text.String())
}

// publish puts a module into a store; what it returns are the lines of go.sum.
func publish(dir string, version module.Version, files map[string][]byte) (string, error) {
	at := filepath.Join(dir, version.Path, "@v")
	if err := os.MkdirAll(at, 0o777); err != nil {
		return "", err
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	for name, text := range files {
		w, err := archive.Create(version.String() + "/" + name)
		if err != nil {
			return "", err
		}
		w.Write(text)
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	list, err := os.OpenFile(filepath.Join(at, "list"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(list, version.Version)
	list.Close()
	file := filepath.Join(at, version.Version)
	info := fmt.Sprintf(`{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, version.Version)
	err = errors.Join(
		os.WriteFile(file+".info", []byte(info), 0o666),
		os.WriteFile(file+".mod", files["go.mod"], 0o666),
		os.WriteFile(file+".zip", packed.Bytes(), 0o666))
	if err != nil {
		return "", err
	}
	sum, err := dirhash.HashZip(file+".zip", dirhash.Hash1)
	if err != nil {
		return "", err
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files["go.mod"])), nil
	})
	return fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", version.Path, version.Version, sum, modSum), err
}
