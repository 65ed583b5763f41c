package provider

import "go.uber.org/zap"

// WarnLongTolerance logs the warning of Provision.
func (m *Module) WarnLongTolerance(logger *zap.Logger) {
	m.warnLongTolerance(logger, m.preset.Name, m.preset.defaultTolerance())
}
