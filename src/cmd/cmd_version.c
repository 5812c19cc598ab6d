#include "cmd/command.h"

#include <stdio.h>
#include <uv.h>

#include "net/tls.h"

int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("gotunnel %s\n%s, libuv %s\n", GOTUNNEL_VERSION, tls_version(), uv_version_string());
	return 0;
}
