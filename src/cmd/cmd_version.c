#include "cmd/command.h"

#include <stdio.h>
#include <uv.h>

#include "net/tls.h"

int cmd_version(int argc, char **argv)
{
	if (argc > 1 && command_is_help(argv[1])) {
		puts("usage: gotunnel version\n\nPrints the versions of gotunnel, BoringSSL and libuv.");
		return 0;
	}
	printf("gotunnel %s\n%s, libuv %s\n", GOTUNNEL_VERSION, tls_version(), uv_version_string());
	return 0;
}
