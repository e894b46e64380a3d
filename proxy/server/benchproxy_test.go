package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// benchProxy is a proxy that takes everything and acks at once. It speaks just enough HTTP/2 to hold one gRPC stream: with
// a full client the proxies would need far more CPU than the server that is to be measured, on the same machine.
type benchProxy struct {
	node   string
	synced func()
	routes int

	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	framer *http2.Framer
	// received holds bytes of messages that are not complete yet.
	received []byte
}

const (
	benchStream = 1
	benchWindow = 1 << 30
	benchBuffer = 4 << 10
)

// run connects and acks until the context ends.
func (p *benchProxy) run(ctx context.Context, address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	p.conn = conn
	if err := p.open(address); err != nil {
		return err
	}
	p.in, p.out = bufio.NewReaderSize(conn, benchBuffer), bufio.NewWriterSize(conn, benchBuffer)
	p.framer = http2.NewFramer(p.out, p.in)
	p.framer.SetReuseFrames()
	for {
		frame, err := p.framer.ReadFrame()
		if err == nil {
			err = p.take(frame)
		}
		if err == nil && p.in.Buffered() == 0 {
			err = p.out.Flush() // One write for all that came with one read.
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.node, err)
		}
	}
}

// open starts the stream with a request for all clusters.
func (p *benchProxy) open(address string) error {
	var headers, out bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, h := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName},
		{Name: ":authority", Value: address},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	} {
		if err := encoder.WriteField(h); err != nil {
			return err
		}
	}
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, nil)
	for _, err := range []error{
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: benchWindow}),
		framer.WriteWindowUpdate(0, benchWindow),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: benchStream, BlockFragment: headers.Bytes(), EndHeaders: true}),
		writeMessage(framer, &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: p.node}, TypeUrl: xds.ClusterType}),
	} {
		if err != nil {
			return err
		}
	}
	_, err := p.conn.Write(out.Bytes())
	return err
}

// take answers one frame of the server.
func (p *benchProxy) take(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return p.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return p.framer.WritePing(true, f.Data)
		}
	case *http2.DataFrame:
		p.received = append(p.received, f.Data()...)
		return p.messages()
	case *http2.HeadersFrame:
		if f.StreamEnded() {
			return io.ErrUnexpectedEOF
		}
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		return fmt.Errorf("server says %v", f)
	}
	return nil
}

// messages acks the complete messages.
func (p *benchProxy) messages() error {
	const prefix = 5 // A flag for compression, and the length.
	for len(p.received) >= prefix {
		end := prefix + int(binary.BigEndian.Uint32(p.received[1:prefix]))
		if len(p.received) < end {
			return nil
		}
		var m discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(p.received[prefix:end], &m); err != nil {
			return err
		}
		p.received = append(p.received[:0], p.received[end:]...)
		ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()}
		if err := writeMessage(p.framer, ack); err != nil {
			return err
		}
		if err := p.follow(&m); err != nil {
			return err
		}
	}
	return nil
}

// follow asks for what the first responses refer to.
func (p *benchProxy) follow(m *discoveryv3.DeltaDiscoveryResponse) error {
	if p.synced == nil {
		return nil
	}
	var names []string
	for _, r := range m.GetResources() {
		names = append(names, r.GetName())
	}
	switch m.GetTypeUrl() {
	case xds.ClusterType:
		endpoints := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesSubscribe: names}
		if err := writeMessage(p.framer, endpoints); err != nil {
			return err
		}
		return writeMessage(p.framer, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ListenerType})
	case xds.ListenerType: // Listeners and their routes have the same names here.
		return writeMessage(p.framer, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.RouteType, ResourceNamesSubscribe: names})
	case xds.RouteType:
		if p.routes += len(names); p.routes == *benchServices {
			p.synced()
			p.synced, p.received = nil, nil
		}
	}
	return nil
}

// writeMessage sends one gRPC message, in frames of the size that every peer takes.
func writeMessage(f *http2.Framer, m proto.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	const frame = 16 << 10
	out := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	for len(out) > frame && err == nil {
		err = f.WriteData(benchStream, false, out[:frame])
		out = out[frame:]
	}
	if err != nil {
		return err
	}
	return f.WriteData(benchStream, false, out)
}
