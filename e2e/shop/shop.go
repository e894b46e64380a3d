package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// fault is what is wrong with a version.
type fault struct {
	// Errors is the share of requests answered with 500, from 0 to 1.
	Errors float64
	// Delay is how long every answer takes.
	Delay time.Duration
}

// shop is the service's handler.
type shop struct {
	http.Handler
	version, pod string
	stopping     atomic.Bool
	end          context.CancelFunc
	unready      atomic.Bool

	mu    sync.Mutex
	fault fault
	asked map[string]int // by the key of a hook's question
}

func newShop(s settings) *shop {
	ending, end := context.WithCancel(context.Background())
	h := &shop{version: s.version, pod: s.pod, fault: s.fault, end: end}
	talk := &talk{version: s.version, pod: s.pod, ending: ending.Done(), fault: h.current}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.health)
	mux.HandleFunc("GET /fault", h.showFault)
	mux.HandleFunc("POST /fault", h.setFault)
	mux.Handle("GET /talk", talk.webSocket())
	mux.HandleFunc("POST /gate/{status}", h.gate)
	mux.HandleFunc("/", h.answer)
	h.Handler = talk.handler(mux)
	return h
}

func (h *shop) current() fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

func (h *shop) health(w http.ResponseWriter, _ *http.Request) {
	if h.stopping.Load() || h.unready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// gate is who is asked by a hook: it answers 425 for the first few times (later), to each question anew, and then
// with the status in its path.
func (h *shop) gate(w http.ResponseWriter, r *http.Request) {
	later, _ := strconv.Atoi(r.URL.Query().Get("later"))
	status, err := strconv.Atoi(r.PathValue("status"))
	if err != nil || status < 200 || status > 599 {
		http.Error(w, "the path is /gate/STATUS", http.StatusBadRequest)
		return
	}
	key := r.Header.Get("Crossfade-Delivery")
	h.mu.Lock()
	if h.asked == nil {
		h.asked = map[string]int{}
	}
	h.asked[key]++
	times := h.asked[key]
	h.mu.Unlock()
	if times <= later {
		status = http.StatusTooEarly
	}
	w.WriteHeader(status)
}

// answer tells who answers, in headers and body. An error of the version's own bears its name too: by that a
// client tells it from an error on the way.
func (h *shop) answer(w http.ResponseWriter, r *http.Request) {
	f := h.current()
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	header := w.Header()
	header.Set("content-type", "application/json")
	header.Set("x-version", h.version)
	header.Set("x-pod", h.pod)
	body := map[string]any{"version": h.version, "pod": h.pod, "path": r.URL.Path, "protocol": r.Proto}
	if rand.Float64() < f.Errors {
		w.WriteHeader(http.StatusInternalServerError)
		body["error"] = "this version fails now and then"
	}
	// Who hung up is not told.
	_ = json.NewEncoder(w).Encode(body)
}

func (h *shop) showFault(w http.ResponseWriter, _ *http.Request) {
	f := h.current()
	fmt.Fprintf(w, "errors=%g&delay=%s\n", f.Errors, f.Delay)
}

// setFault changes what the query names: POST /fault?errors=0.2&delay=50ms&ready=false.
func (h *shop) setFault(w http.ResponseWriter, r *http.Request) {
	f, query := h.current(), r.URL.Query()
	var err error
	if query.Has("errors") {
		f.Errors, err = parseRate(query.Get("errors"))
	}
	if err == nil && query.Has("delay") {
		f.Delay, err = parseDelay(query.Get("delay"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if query.Has("ready") {
		h.unready.Store(query.Get("ready") == "false")
	}
	h.mu.Lock()
	h.fault = f
	h.mu.Unlock()
	h.showFault(w, r)
}
