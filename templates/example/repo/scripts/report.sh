#!/bin/sh
# Prints the hours of a log: report.sh LOG
set -eu

root=$(dirname "$(dirname "$0")")
PYTHONPATH="$root/src" exec python -m stint clients "$1"
