package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	nearAddress = "10.77.0.1"
	farAddress  = "10.77.0.2"
)

// A command is one of go's that fetches.
type command struct {
	name string
	args []string
	// Without the project's go.sum.
	noSum bool
	// Outside of the project.
	outside bool
}

var commands = []command{
	{name: "download", args: []string{"mod", "download"}},
	{name: "list", args: []string{"list", "-deps", "./..."}},
	{name: "test", args: []string{"list", "-deps", "-test", "./..."}},
	{name: "vendor", args: []string{"mod", "vendor"}},
	{name: "tidy", args: []string{"mod", "tidy"}},
	{name: "tidy-nosum", args: []string{"mod", "tidy"}, noSum: true},
	{name: "update", args: []string{"list", "-m", "-u", "all"}},
	{name: "install", args: []string{"install"}, outside: true},
}

// A subject is who runs a command.
type subject struct {
	name string
	// go by way of the shim.
	shim bool
	env  []string
}

var subjects = []subject{
	{name: "plain go"},
	{name: "GOMAXPROCS=32", env: []string{"GOMAXPROCS=32"}},
	{name: "gofix", shim: true},
	{name: "relay off", shim: true, env: []string{"GOFIX_RELAY=off"}},
}

const limit = "limit"

// A cell is one command of one project over one line.
type cell struct {
	Project string `json:"project"`
	Command string `json:"command"`
	RTT     int    `json:"rtt"`
	Rate    int    `json:"rate,omitempty"`
	Procs   int    `json:"procs,omitempty"`
}

// A result is what one subject took for a cell.
type result struct {
	Cell    cell    `json:"cell"`
	Subject string  `json:"subject"`
	Seconds float64 `json:"seconds"`
	// Requests, connections and bytes as the proxy has seen them.
	Requests    int   `json:"requests"`
	Connections int   `json:"connections"`
	Bytes       int64 `json:"bytes"`
	// What plain go did not ask for.
	Wasted      int   `json:"wasted"`
	WastedBytes int64 `json:"wasted_bytes"`
	// Its exit status, what it wrote and go.mod and go.sum are not those of plain go.
	Differs bool `json:"differs,omitempty"`
}

// A bench is the two machines, the line, and the proxy at its far end.
type bench struct {
	work, near, far string
	self            string
	goCommand       string
	shim            string
	line            *talker
	server          *talker
	url, key        string
	verbose         bool
}

// A talker is a program that answers each line with a line.
type talker struct {
	in    io.WriteCloser
	lines *bufio.Reader
	stop  func()
}

func talk(name string, args ...string) (*talker, error) {
	c := exec.Command(name, args...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &talker{in, bufio.NewReader(out), func() { in.Close(); c.Wait() }}, nil
}

func (t *talker) say(line string) (string, error) {
	if _, err := fmt.Fprintln(t.in, line); err != nil {
		return "", err
	}
	return t.hear()
}

func (t *talker) hear() (string, error) {
	line, err := t.lines.ReadString('\n')
	return strings.TrimSpace(line), err
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// open makes the machines and the line between them.
func (b *bench) open(lossy string) error {
	b.near = fmt.Sprintf("near-%d", os.Getpid())
	b.far = fmt.Sprintf("far-%d", os.Getpid())
	for _, name := range []string{b.near, b.far} {
		if err := ip("netns", "add", name); err != nil {
			return err
		}
	}
	var err error
	if b.line, err = talk(lossy, "-near", b.near, "-far", b.far); err != nil {
		return err
	}
	if ready, err := b.line.hear(); err != nil || ready != "ready" {
		return fmt.Errorf("lossy: %q, %v", ready, err)
	}
	for name, address := range map[string]string{b.near: nearAddress, b.far: farAddress} {
		for _, args := range [][]string{
			{"link", "set", name, "netns", name},
			{"-n", name, "addr", "add", address + "/24", "dev", name},
			{"-n", name, "link", "set", name, "up"},
			{"-n", name, "link", "set", "lo", "up"},
		} {
			if err := ip(args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) close() {
	for _, t := range []*talker{b.server, b.line} {
		if t != nil {
			t.stop()
		}
	}
	for _, name := range []string{b.near, b.far} {
		ip("netns", "delete", name)
	}
	exec.Command("chmod", "-R", "u+w", b.work).Run()
	os.RemoveAll(b.work)
}

// serve starts the proxy at the far end.
func (b *bench) serve(dir string) error {
	if err := b.certificate(); err != nil {
		return err
	}
	signer, verifier, err := note.GenerateKey(rand.Reader, databaseName)
	if err != nil {
		return err
	}
	b.key = verifier
	b.server, err = talk("ip", "netns", "exec", b.far, b.self, "serve", "-dir", dir, "-listen", farAddress+":443",
		"-cert", b.work+"/cert.pem", "-key", b.work+"/key.pem", "-signer", signer)
	if err == nil {
		b.url, err = b.server.hear()
	}
	b.url = "https://" + farAddress
	return err
}

func (b *bench) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: farAddress}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour), IPAddresses: []net.IP{net.ParseIP(farAddress)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(b.work, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private))
}

// goEnv is the environment of a go with nothing in its caches but what was compiled.
func goEnv(work, goCommand string, extra ...string) []string {
	env := []string{
		"PATH=" + filepath.Dir(goCommand) + ":/usr/bin:/bin", "HOME=" + work + "/home", "GOENV=off", "GOTOOLCHAIN=local",
		"GOPATH=" + work + "/gopath", "GOMODCACHE=" + work + "/mod", "GOCACHE=" + work + "/../build", "GOBIN=" + work + "/bin",
		"GOTELEMETRY=off", "CGO_ENABLED=0", "CI=true", "NO_COLOR=1",
	}
	return append(env, extra...)
}

type outcome struct {
	seconds float64
	digest  string
	log     journal
}

// once runs one command with cold caches.
func (b *bench) once(p *project, c command, s subject, procs int) (*outcome, error) {
	work := filepath.Join(b.work, "run")
	exec.Command("chmod", "-R", "u+w", work).Run()
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	if err := p.layOut(filepath.Join(work, "project"), c); err != nil {
		return nil, err
	}
	extra := []string{
		"GOPROXY=" + b.url, "GOSUMDB=" + b.key, "SSL_CERT_FILE=" + b.work + "/cert.pem", "SSL_CERT_DIR=/nowhere",
		"GOMAXPROCS=" + strconv.Itoa(procs), "GOFIX_GO=" + b.goCommand, "GOFIX_CONFIG=/dev/null",
	}
	program := b.goCommand
	if s.shim {
		program = b.shim
	}
	run := exec.Command("ip", append([]string{"netns", "exec", b.near, program}, p.args(c)...)...)
	run.Dir = filepath.Join(work, "project")
	run.Env = goEnv(work, b.goCommand, append(extra, s.env...)...)
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	if _, err := b.server.say("mark"); err != nil {
		return nil, err
	}
	from := time.Now()
	err := run.Run()
	o := &outcome{seconds: time.Since(from).Seconds()}
	if b.verbose && err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n%s", s.name, c.name, err, stderr.Bytes())
	}
	hash := sha256.New()
	fmt.Fprintln(hash, run.ProcessState.ExitCode())
	hash.Write(bytes.ReplaceAll(stdout.Bytes(), []byte(work), nil))
	for _, name := range []string{"go.mod", "go.sum"} {
		text, _ := os.ReadFile(filepath.Join(run.Dir, name))
		hash.Write(text)
	}
	o.digest = fmt.Sprintf("%x", hash.Sum(nil))
	line, err := b.server.say("log")
	if err != nil {
		return nil, err
	}
	return o, json.Unmarshal([]byte(line), &o.log)
}

// fastest asks for what plain go asked for, as fast as can be.
func (b *bench) fastest(log journal) (*outcome, error) {
	var paths []string
	for _, r := range log.Requests {
		if r.Status == 200 && !slices.Contains(paths, r.Path) {
			paths = append(paths, r.Path)
		}
	}
	run := exec.Command("ip", "netns", "exec", b.near, b.self, "fetch", "-url", b.url, "-ca", b.work+"/cert.pem")
	run.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	run.Stderr = os.Stderr
	from := time.Now()
	err := run.Run()
	return &outcome{seconds: time.Since(from).Seconds(), log: log}, err
}

func (b *bench) weather(c cell) error {
	weather := fmt.Sprintf("delay=%dus", c.RTT*500)
	if c.Rate > 0 {
		weather += fmt.Sprintf(" rate=%d queue=1000", c.Rate)
	}
	_, err := b.line.say(weather)
	return err
}

// measure runs a cell, everybody in turn.
func (b *bench) measure(p *project, c command, at cell, who []string, runs int, tell func(result)) error {
	if err := b.weather(at); err != nil {
		return err
	}
	if c.outside {
		// What is compiled is not fetched: the build cache is warm for everybody.
		if err := b.weather(cell{}); err != nil {
			return err
		}
		if _, err := b.once(p, c, subjects[0], at.Procs); err != nil {
			return err
		}
		if err := b.weather(at); err != nil {
			return err
		}
	}
	took := map[string][]float64{}
	last := map[string]*outcome{}
	for range runs {
		for _, s := range subjects {
			if !slices.Contains(who, s.name) {
				continue
			}
			o, err := b.once(p, c, s, at.Procs)
			if err != nil {
				return err
			}
			took[s.name] = append(took[s.name], o.seconds)
			last[s.name] = o
		}
		if slices.Contains(who, limit) && last["plain go"] != nil {
			o, err := b.fastest(last["plain go"].log)
			if err != nil {
				return err
			}
			took[limit] = append(took[limit], o.seconds)
			last[limit] = o
		}
	}
	plain := last["plain go"]
	asked := map[string]bool{}
	if plain != nil {
		for _, r := range plain.log.Requests {
			asked[r.Path] = true
		}
	}
	for _, name := range who {
		o := last[name]
		if o == nil {
			continue
		}
		slices.Sort(took[name])
		r := result{
			Cell: at, Subject: name, Seconds: took[name][len(took[name])/2],
			Requests: len(o.log.Requests), Connections: int(o.log.Connections),
			Differs: name != limit && plain != nil && o.digest != plain.digest,
		}
		for _, q := range o.log.Requests {
			r.Bytes += q.Bytes
			if plain != nil && !asked[q.Path] {
				r.Wasted++
				r.WastedBytes += q.Bytes
				if b.verbose {
					fmt.Fprintf(os.Stderr, "in vain: %s %d\n", q.Path, q.Bytes)
				}
			}
		}
		tell(r)
	}
	return nil
}

func numbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		list = append(list, number)
	}
	return list, nil
}

// run measures what its flags name.
func run(args []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	lossy := flags.String("lossy", "lossy", "`program` that is the line")
	shim := flags.String("shim", "", "gofix's shim, with gofix beside it")
	rtts := flags.String("rtt", "0,20,50,100,200", "round-trip `times` in ms")
	rates := flags.String("rate", "0", "`rates` of the line in Mbit/s, 0 for no limit")
	procs := flags.Int("procs", 2, "GOMAXPROCS of everybody but the wide go")
	runs := flags.Int("runs", 1, "how often each is run")
	real := flags.String("real", "", "real `projects`, MODULE@VERSION with commas, in place of what is made up")
	record := flags.String("record", "", "`folder` that their modules are recorded in")
	only := flags.String("commands", "", "`commands` to run, with commas; all by default, \"none\" to write the document alone")
	who := flags.String("who", "plain go,GOMAXPROCS=32,gofix,relay off,limit", "`subjects`")
	store := flags.String("results", "", "`file` that results are added to, one a line")
	document := flags.String("write", "", "`file` in Markdown to write all results of -results to, with a chart beside it")
	remark := flags.String("note", "", "`sentence` to put below the introduction of -write")
	tmp := flags.String("tmp", "", "`folder` for caches; one in memory shows the network and not the disk")
	verbose := flags.Bool("v", false, "say more")
	flags.Parse(args)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(*tmp, "distance")
	if err != nil {
		return err
	}
	b := &bench{work: work, self: self, goCommand: goCommand, shim: *shim, verbose: *verbose}
	defer b.close()
	if err := os.Mkdir(work+"/build", 0o777); err != nil {
		return err
	}
	projects, dir, err := b.projects(*real, *record)
	if err != nil {
		return err
	}
	if err := b.open(*lossy); err != nil {
		return err
	}
	if err := b.serve(dir); err != nil {
		return err
	}
	rttList, err := numbers(*rtts)
	if err != nil {
		return err
	}
	rateList, err := numbers(*rates)
	if err != nil {
		return err
	}
	var results []result
	if *only == "none" {
		projects = nil
	}
	for _, p := range projects {
		for _, c := range commands {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), c.name) || !p.has(c) {
				continue
			}
			for _, rtt := range rttList {
				for _, rate := range rateList {
					at := cell{p.name, c.name, rtt, rate, *procs}
					err := b.measure(p, c, at, strings.Split(*who, ","), *runs, func(r result) {
						results = append(results, r)
						fmt.Println(r.line(results))
					})
					if err != nil {
						return fmt.Errorf("%v: %w", at, err)
					}
				}
			}
		}
	}
	if *store != "" {
		if err := add(*store, results); err != nil {
			return err
		}
	}
	if *document != "" {
		return write(*document, *store, *remark, results)
	}
	return nil
}
