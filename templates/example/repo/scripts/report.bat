@echo off
rem Prints the hours of a log: report.bat LOG
set PYTHONPATH=%~dp0..\src
python -m stint clients "%~1"
