package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ratio is what a result is to plain go's of the same cell.
func (r result) ratio(all []result) (float64, bool) {
	for _, other := range all {
		if other.Cell == r.Cell && other.Subject == "plain go" {
			return r.Seconds / other.Seconds, true
		}
	}
	return 0, false
}

func (r result) line(all []result) string {
	name := fmt.Sprintf("%s/%s/%d", r.Cell.Project, r.Cell.Command, r.Cell.RTT)
	if r.Cell.Rate > 0 {
		name += fmt.Sprintf("/%d", r.Cell.Rate)
	}
	text := fmt.Sprintf("%-60s %-14s %7.2f s", name, r.Subject, r.Seconds)
	if ratio, ok := r.ratio(all); ok {
		text += fmt.Sprintf("  %.2f", ratio)
	}
	text += fmt.Sprintf("  %d requests, %d connections, %.1f MB", r.Requests, r.Connections, float64(r.Bytes)/1e6)
	if r.Wasted > 0 {
		text += fmt.Sprintf(", in vain %d (%.2f MB)", r.Wasted, float64(r.WastedBytes)/1e6)
	}
	if r.Differs {
		text += ", DIFFERS"
	}
	return text
}

// add appends results to a file, one a line.
func add(name string, results []result) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, r := range results {
		if err := json.NewEncoder(file).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// kept are the results of a file, of each cell and subject the last.
func kept(name string) ([]result, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var results []result
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		same := func(other result) bool { return other.Cell == r.Cell && other.Subject == r.Subject }
		if at := slices.IndexFunc(results, same); at >= 0 {
			results[at] = r
		} else {
			results = append(results, r)
		}
	}
	return results, lines.Err()
}

var columns = []string{"plain go", "GOMAXPROCS=32", "gofix", "relay off", limit}

// write makes the document and the chart beside it.
func write(name, stored, remark string, results []result) error {
	if stored != "" {
		var err error
		if results, err = kept(stored); err != nil {
			return err
		}
	}
	var text strings.Builder
	text.WriteString(introduction)
	if remark != "" {
		fmt.Fprintf(&text, "\n%s\n", remark)
	}
	var cells []cell
	for _, r := range results {
		if !slices.Contains(cells, r.Cell) {
			cells = append(cells, r.Cell)
		}
	}
	find := func(c cell, subject string) (result, bool) {
		for _, r := range results {
			if r.Cell == c && r.Subject == subject {
				return r, true
			}
		}
		return result{}, false
	}
	before := ""
	for _, c := range cells {
		if title := fmt.Sprintf("%s, `%s`", c.Project, c.Command); title != before {
			before = title
			fmt.Fprintf(&text, "\n## %s\n\n| round trip | %s | requests: go, gofix | in vain | MB |\n|%s\n",
				title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)+4))
		}
		line := fmt.Sprintf("| %d ms", c.RTT)
		if c.Rate > 0 {
			line += fmt.Sprintf(", %d Mbit/s", c.Rate)
		}
		if c.Procs != 2 {
			line += fmt.Sprintf(", GOMAXPROCS=%d", c.Procs)
		}
		for _, subject := range columns {
			r, ok := find(c, subject)
			ratio, _ := r.ratio(results)
			switch {
			case !ok:
				line += " | "
			case subject == "plain go":
				line += fmt.Sprintf(" | %.1f s", r.Seconds)
			default:
				line += fmt.Sprintf(" | **%.2f**", ratio)
			}
		}
		plain, _ := find(c, "plain go")
		own, _ := find(c, "gofix")
		line += fmt.Sprintf(" | %d, %d | %d (%.2f MB) | %.1f |", plain.Requests, own.Requests, own.Wasted,
			float64(own.WastedBytes)/1e6, float64(plain.Bytes)/1e6)
		fmt.Fprintln(&text, line)
	}
	if err := os.WriteFile(strings.TrimSuffix(name, ".md")+".svg", []byte(chart(cells, find)), 0o666); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text.String()), 0o666)
}

const introduction = `# Cold fetches against the round-trip time

![Time of gofix as a part of plain go's, by round-trip time](performance.svg)

How long a command takes with empty caches, as a fraction of the time that plain go takes in the same run: 0.25 is four times as
fast. The other columns:

- ` + "`GOMAXPROCS=32`" + `: plain go, with the one setting that speeds it up.
- "relay off": gofix without the relay, which makes requests ahead of go.
- "limit": one HTTP/2 client that fetches the same files, 64 at a time, and unpacks nothing.
- "in vain": what gofix requested and plain go did not.

go.mod, go.sum, output and exit status were the same as with plain go; the report would name a difference.

The module proxy speaks HTTPS and HTTP/2 and has a checksum database of its own with 2^19 records. It runs in one network namespace,
the client in another; scripts/lossy is the line between them. GOMAXPROCS is 2, the caches are in memory. Measured by
` + "`make bench-distance`" + `; see scripts/distance.
`

// chart draws the ratio of each command over the round-trip time.
func chart(cells []cell, find func(cell, string) (result, bool)) string {
	const width, height, left, top = 760, 380, 60, 24
	colours := []string{"#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1864ab", "#846358", "#495057"}
	var rtts []int
	var names []string
	points := map[string][][2]float64{}
	for _, c := range cells {
		plain, ok := find(c, "plain go")
		own, has := find(c, "gofix")
		if !ok || !has || c.Rate > 0 || c.Procs != 2 {
			continue
		}
		project := c.Project
		if at := strings.LastIndex(project, "/"); at >= 0 {
			project = project[:at]
			project = project[strings.LastIndex(project, "/")+1:]
		}
		name := project + " " + c.Command
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if !slices.Contains(rtts, c.RTT) {
			rtts = append(rtts, c.RTT)
		}
		points[name] = append(points[name], [2]float64{float64(c.RTT), own.Seconds / plain.Seconds})
	}
	slices.Sort(rtts)
	at := func(rtt float64) int {
		for n, r := range rtts {
			if float64(r) == rtt {
				return left + n*(width-left-220)/max(1, len(rtts)-1)
			}
		}
		return left
	}
	high := func(ratio float64) int { return top + int((1.2-min(ratio, 1.2))/1.2*(height-top-40)) }
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label="The time of a cold fetch with gofix, as a ratio to plain go, against the round-trip time">`+"\n", width, height)
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	for _, ratio := range []float64{0, 0.25, 0.5, 0.75, 1} {
		y := high(ratio)
		stroke := "#dddddd"
		if ratio == 1 {
			stroke = "#888888"
		}
		fmt.Fprintf(&svg, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s"/>`+"\n", left, y, width-220, y, stroke)
		fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="end">%.2f</text>`+"\n", left-8, y+4, ratio)
	}
	fmt.Fprintf(&svg, `<text x="%d" y="%d">plain go = 1.00</text>`+"\n", left+6, high(1)-6)
	for _, r := range rtts {
		fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="middle">%d ms</text>`+"\n", at(float64(r)), height-20, r)
	}
	for n, name := range names {
		colour := colours[n%len(colours)]
		var line []string
		slices.SortFunc(points[name], func(a, b [2]float64) int { return int(a[0] - b[0]) })
		for _, p := range points[name] {
			line = append(line, fmt.Sprintf("%d,%d", at(p[0]), high(p[1])))
			fmt.Fprintf(&svg, `<circle cx="%d" cy="%d" r="3" fill="%s"/>`+"\n", at(p[0]), high(p[1]), colour)
		}
		fmt.Fprintf(&svg, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour)
		fmt.Fprintf(&svg, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/>`+"\n", width-205, top+n*20, colour)
		fmt.Fprintf(&svg, `<text x="%d" y="%d">%s</text>`+"\n", width-188, top+n*20+10, name)
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}
