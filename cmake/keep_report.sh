#!/bin/sh
# keep_report.sh NVCC ...: compiles, and keeps what ptxas says of each kernel (-Xptxas=-v) beside the object, in OBJECT.ptxas.
object=
before=
for argument in "$@"; do
  if [ "$before" = -o ]; then object=$argument; fi
  before=$argument
done
case $object in
  *.o)
    "$@" 2>"$object.ptxas"
    status=$?
    grep -v -E '^ptxas info|bytes stack frame' "$object.ptxas" >&2
    exit $status ;;
  *) exec "$@" ;;
esac
