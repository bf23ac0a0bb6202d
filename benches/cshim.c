/* The least that a program named go can do: execute another one. What passing
   a command through gofix costs is measured against this. */
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argc;
	execv(REAL_GO, argv);
	return 127;
}
