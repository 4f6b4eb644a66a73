package sysabi

// keyRows are the calls about keys that the kernel keeps, and Landlock. The keyrings are
// the leader's, and so are the numbers of keys.
func keyRows() []Row {
	return []Row{
		{Name: "add_key", Args: args(str("type"), str("description"), in("payload", lenArg(3)), long("plen"), i32("keyring"))},
		// A program of the host's may be asked for the key.
		{Name: "request_key", Args: args(str("type"), str("description"), str("callout_info"), i32("dest_keyring")), Blocks: true},
		keyctlRow(),

		// A ruleset is a descriptor, unless the flags ask for a version.
		{Name: "landlock_create_ruleset", Args: args(in("attr", lenArg(1)), long("size"), flags("flags", nil))},
		{Name: "landlock_add_rule", Args: args(fd("ruleset_fd"), i32("rule_type"), sub("rule_attr")), Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				1: plain("LANDLOCK_RULE_PATH_BENEATH", inRec("rule_attr", pathBeneathLayout), flags("flags", nil)),
				2: plain("LANDLOCK_RULE_NET_PORT", inRec("rule_attr", netPortLayout), flags("flags", nil)),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		}},
		// Followers open nothing, so what only the leader may not do nobody does.
		{Name: "landlock_restrict_self", Args: args(fd("ruleset_fd"), flags("flags", nil))},
	}
}

// keyctlRow describes keyctl(2).
func keyctlRow() Row {
	key, keyring := i32("key"), i32("keyring")
	read := func(name string) SubCase {
		return plain(name, key, outRet("buffer", 3), long("buflen"))
	}
	refuse := func(name, reason string, errno uint16) SubCase {
		return SubCase{Name: name, Exec: Unsupported, Errno: errno, Reason: reason}
	}
	nested := func(name string) SubCase { return refuse(name, reasonPointers, EOPNOTSUPP) }
	return Row{
		Name: "keyctl", Args: args(i32("operation"), sub("arg2")),
		Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0:  plain("KEYCTL_GET_KEYRING_ID", key, i32("create")),
				1:  plain("KEYCTL_JOIN_SESSION_KEYRING", str("name")),
				2:  plain("KEYCTL_UPDATE", key, in("payload", lenArg(3)), long("plen")),
				3:  plain("KEYCTL_REVOKE", key),
				4:  plain("KEYCTL_CHOWN", key, u32("uid"), u32("gid")),
				5:  plain("KEYCTL_SETPERM", key, u32("perm")),
				6:  read("KEYCTL_DESCRIBE"),
				7:  plain("KEYCTL_CLEAR", keyring),
				8:  plain("KEYCTL_LINK", key, keyring),
				9:  plain("KEYCTL_UNLINK", key, keyring),
				10: plain("KEYCTL_SEARCH", keyring, str("type"), str("description"), i32("dest_keyring")),
				11: read("KEYCTL_READ"),
				12: plain("KEYCTL_INSTANTIATE", key, in("payload", lenArg(3)), long("plen"), keyring),
				13: plain("KEYCTL_NEGATE", key, u32("timeout"), keyring),
				14: plain("KEYCTL_SET_REQKEY_KEYRING", i32("reqkey_defl")),
				15: plain("KEYCTL_SET_TIMEOUT", key, u32("timeout")),
				16: plain("KEYCTL_ASSUME_AUTHORITY", key),
				17: read("KEYCTL_GET_SECURITY"),
				18: refuse("KEYCTL_SESSION_TO_PARENT", "the parent may be the monitor", EPERM),
				19: plain("KEYCTL_REJECT", key, u32("timeout"), u32("error"), keyring),
				20: plain("KEYCTL_INSTANTIATE_IOV", key, iovIn("iov", 3), u32("ioc"), keyring),
				21: plain("KEYCTL_INVALIDATE", key),
				22: plain("KEYCTL_GET_PERSISTENT", u32("uid"), keyring),
				23: nested("KEYCTL_DH_COMPUTE"),
				24: nested("KEYCTL_PKEY_QUERY"),
				25: nested("KEYCTL_PKEY_ENCRYPT"),
				26: nested("KEYCTL_PKEY_DECRYPT"),
				27: nested("KEYCTL_PKEY_SIGN"),
				28: nested("KEYCTL_PKEY_VERIFY"),
				29: plain("KEYCTL_RESTRICT_KEYRING", keyring, str("type"), str("restriction")),
				30: plain("KEYCTL_MOVE", key, i32("from_keyring"), i32("to_keyring"), flags("flags", nil)),
				31: plain("KEYCTL_CAPABILITIES", outRet("buffer", 2), long("buflen")),
				32: plain("KEYCTL_WATCH_KEY", key, fd("queue_fd"), i32("watch_id")),
			},
			Default: refuse("unknown", reasonUnknownOp, EOPNOTSUPP),
		},
	}
}
