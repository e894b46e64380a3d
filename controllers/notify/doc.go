// Package notify tells people and machines what has happened to a Rollout: people
// through shoutrrr (chat, mail, webhooks), machines by CloudEvents. What has to be told
// is decided in package delivery and kept in the Rollout's status; this package knows
// the administrator's targets, words a message, and makes one try to send it.
//
// All that is sent goes through a Guard, shoutrrr's services too (guardService).
//
// Addresses of targets are secrets: whoever knows a webhook's URL may write to it. No
// error of this package has one in it.
package notify
