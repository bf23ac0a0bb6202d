// Lossy is a line between two network devices that loses, delays and slows down
// what it carries: what the kernel's netem does, for kernels that have none, and
// one thing that netem does not do. It opens two TUN devices and moves IP packets
// from each to the other; what goes over them is the kernel's own TCP. Moved into a
// network namespace, one of the two is that namespace's only way out.
//
//	lossy -near DEVICE -far DEVICE
//
// It prints "ready" when both are there. Every line of its stdin is the weather from
// then on, the same for both directions, and is answered with a line:
//
//	delay=50ms jitter=10ms loss=1 rate=50 queue=200 forget=10s
//
// delay and jitter are one way, loss is per cent of the packets, rate is Mbit/s, queue
// is how many packets may wait for the rate, forget is how long the line remembers its
// connections. What is not named is not there, the queue apart. It ends with its stdin,
// and the devices with it.
//
// Known to be imperfect: a packet that is late does not let one overtake it that is
// early, so that jitter never changes the order; losses do not come in bursts; what
// belongs to one connection is told by addresses, protocol and ports of IPv4 alone.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// The largest packet that a TUN device without offloading hands out.
const largest = 64 << 10

// How many packets wait where nothing else is said: what netem has.
const usualQueue = 1000

type weather struct {
	delay, jitter time.Duration
	loss          float64 // 0 to 1
	rate          float64 // bits a second, 0 is no limit
	queue         int
	forget        time.Duration // 0 is never
}

func parse(line string) (weather, error) {
	w := weather{queue: usualQueue}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "delay":
			w.delay, err = time.ParseDuration(value)
		case "jitter":
			w.jitter, err = time.ParseDuration(value)
		case "loss":
			w.loss, err = strconv.ParseFloat(value, 64)
			w.loss /= 100
		case "rate":
			w.rate, err = strconv.ParseFloat(value, 64)
			w.rate *= 1e6
		case "queue":
			w.queue, err = strconv.Atoi(value)
		case "forget":
			w.forget, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("not known")
		}
		if err != nil {
			return w, fmt.Errorf("%s: %v", word, err)
		}
	}
	return w, nil
}

// open makes a TUN device that carries bare IP packets.
func open(name string) (*os.File, error) {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %v", err)
	}
	// struct ifreq: the name, then flags.
	var request [40]byte
	if len(name) >= syscall.IFNAMSIZ {
		return nil, fmt.Errorf("%s: name too long", name)
	}
	copy(request[:], name)
	binary.NativeEndian.PutUint16(request[syscall.IFNAMSIZ:], syscall.IFF_TUN|syscall.IFF_NO_PI)
	// The device must be there before the runtime's poller is told of the descriptor.
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return nil, fmt.Errorf("%s: %v", name, errno)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// A flow is one connection, the same in both directions.
type flow struct {
	protocol byte
	low, up  [6]byte // address and port
}

// flowOf is the connection that an IPv4 packet of TCP or UDP belongs to.
func flowOf(packet []byte) (flow, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return flow{}, false
	}
	header := int(packet[0]&15) * 4
	f := flow{protocol: packet[9]}
	if f.protocol != syscall.IPPROTO_TCP && f.protocol != syscall.IPPROTO_UDP || len(packet) < header+4 {
		return flow{}, false
	}
	copy(f.low[:4], packet[12:16])
	copy(f.low[4:], packet[header:header+2])
	copy(f.up[:4], packet[16:20])
	copy(f.up[4:], packet[header+2:header+4])
	if string(f.low[:]) > string(f.up[:]) {
		f.low, f.up = f.up, f.low
	}
	return f, true
}

// A line is what both directions share.
type line struct {
	sync.Mutex
	now     weather
	since   time.Time     // when the memory was last emptied
	memory  map[flow]bool // the connections that get through
	strange map[flow]bool // those that were forgotten
}

func (l *line) set(w weather) {
	l.Lock()
	defer l.Unlock()
	l.now = w
	l.since = time.Now()
	l.memory = map[flow]bool{}
	l.strange = map[flow]bool{}
}

// takes says what the weather is, and whether a packet meets one that lets it through. A
// connection that was forgotten gets nothing through any more, in either direction and
// without a word, as behind a NAT that has lost its table; a new one does.
func (l *line) takes(packet []byte) (weather, bool) {
	l.Lock()
	defer l.Unlock()
	if l.now.forget > 0 {
		if time.Since(l.since) >= l.now.forget {
			for f := range l.memory {
				l.strange[f] = true
			}
			clear(l.memory)
			l.since = time.Now()
		}
		if f, ok := flowOf(packet); ok {
			if l.strange[f] {
				return l.now, false
			}
			l.memory[f] = true
		}
	}
	return l.now, rand.Float64() >= l.now.loss
}

type late struct {
	due    time.Time
	packet []byte
}

// carry moves packets one way until a device is gone.
func (l *line) carry(from, to *os.File) {
	// Room for what is in flight; what waits for the rate is counted apart.
	flight := make(chan late, 1<<16)
	go func() {
		for p := range flight {
			time.Sleep(time.Until(p.due))
			// A device that is down takes nothing, as a cable that is out.
			to.Write(p.packet)
		}
	}()
	var free, last time.Time // when the sender has sent what waits; when the last packet arrives
	buffer := make([]byte, largest)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			// A device on its way into a namespace, or one that is down.
			if pathError, ok := err.(*os.PathError); ok && (pathError.Err == syscall.EBADFD || pathError.Err == syscall.EIO) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			close(flight)
			return
		}
		packet := append([]byte(nil), buffer[:n]...)
		w, ok := l.takes(packet)
		if !ok {
			continue
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if w.rate > 0 {
			each := time.Duration(float64(n) * 8 / w.rate * float64(time.Second))
			if free.Sub(now) > time.Duration(w.queue)*each {
				continue
			}
			free = free.Add(each)
		}
		due := free.Add(w.delay)
		if w.jitter > 0 {
			due = due.Add(time.Duration((2*rand.Float64() - 1) * float64(w.jitter)))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		select {
		case flight <- late{due, packet}:
		default:
		}
	}
}

func main() {
	nearName := flag.String("near", "lossy-near", "`name` of the device that stays here")
	farName := flag.String("far", "lossy-far", "`name` of the device at the other end")
	flag.Parse()
	die := func(err error) {
		fmt.Fprintln(os.Stderr, "lossy:", err)
		os.Exit(1)
	}
	near, err := open(*nearName)
	if err != nil {
		die(err)
	}
	far, err := open(*farName)
	if err != nil {
		die(err)
	}
	l := &line{}
	l.set(weather{queue: usualQueue})
	go l.carry(near, far)
	go l.carry(far, near)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		w, err := parse(lines.Text())
		if err != nil {
			fmt.Println("no:", err)
			continue
		}
		l.set(w)
		fmt.Println("now:", lines.Text())
	}
}
