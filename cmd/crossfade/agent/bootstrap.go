package agent

import (
	"fmt"
	"net"
	"strconv"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// bootstrap renders what Envoy reads when it starts.
func (o Options) bootstrap() ([]byte, error) {
	host, portText, err := net.SplitHostPort(o.XDS)
	if err != nil {
		return nil, fmt.Errorf("read address of the controller: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read port of the controller: %w", err)
	}
	return xds.Bootstrap(xds.BootstrapOptions{
		NodeID: o.Node, View: o.Cluster, Version: o.Version, XDSHost: host, XDSPort: uint32(port), AdminSocket: o.adminSocket(), TLSDir: o.TLSDir,
	})
}
