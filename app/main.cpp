#include <meander/app/command.h>

int main(int argc, char** argv) { return meander::command(argc, argv); }
