package session

import (
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteColumns aligns rows; paint, if there is one, gets each cell with its padding.
func WriteColumns(w io.Writer, rows [][]string, paint func(row, column int, cell string) string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	b := &strings.Builder{}
	for at, row := range rows {
		line := &strings.Builder{}
		for i, cell := range row {
			padded := cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == len(row)-1 {
				padded = cell
			} else {
				padded += "   "
			}
			if paint != nil {
				padded = paint(at, i, padded)
			}
			line.WriteString(padded)
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes a value of the plugin's own, such as a report.
func WriteJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}
