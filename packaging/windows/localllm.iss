; Inno Setup 6: the installer for Windows, for one person, without administrator's rights.
; iscc /DVersion=0.1.0 packaging\windows\localllm.iss     after make_bundle.py

#ifndef Version
  #error Say which: iscc /DVersion=0.1.0 localllm.iss
#endif

[Setup]
AppId={{6E6B2F0B-3B0E-4F5C-9C63-5A2C7C6D9E11}
AppName=LocalLLM
AppVersion={#Version}
AppPublisher=The LocalLLM authors
DefaultDirName={localappdata}\Programs\LocalLLM
DefaultGroupName=LocalLLM
DisableProgramGroupPage=yes
PrivilegesRequired=lowest
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
MinVersion=10.0.17763
OutputDir=..\..\build
OutputBaseFilename=LocalLLM-{#Version}-windows-x64
SetupIconFile=..\..\build\icons\app.ico
UninstallDisplayIcon={app}\localllmw.exe
LicenseFile=..\..\LICENSE
Compression=lzma2
SolidCompression=yes
WizardStyle=modern
ChangesAssociations=yes
ChangesEnvironment=yes
CloseApplications=yes

[Languages]
Name: "en"; MessagesFile: "compiler:Default.isl"
Name: "es"; MessagesFile: "compiler:Languages\Spanish.isl"

[CustomMessages]
en.Associate=Open .gguf files with LocalLLM
es.Associate=Abrir los archivos .gguf con LocalLLM
en.OnPath=Make the command “localllm” available in terminals
es.OnPath=Hacer que la orden «localllm» esté disponible en los terminales
en.Model=GGUF language model
es.Model=Modelo de lenguaje GGUF
en.RemoveModels=Do you want to delete the models that were downloaded, as well as chats and settings?%n%nIf you answer No, everything stays where it is and a later installation finds it again.
es.RemoveModels=¿Quiere eliminar también los modelos descargados, las conversaciones y la configuración?%n%nSi responde No, todo se queda donde está y una instalación posterior lo volverá a encontrar.

[Tasks]
Name: "desktopicon"; Description: "{cm:CreateDesktopIcon}"; Flags: unchecked
Name: "associate"; Description: "{cm:Associate}"
Name: "onpath"; Description: "{cm:OnPath}"; Flags: unchecked

[Files]
Source: "..\..\build\dist\LocalLLM\*"; DestDir: "{app}"; Flags: ignoreversion recursesubdirs createallsubdirs

[InstallDelete]
Type: filesandordirs; Name: "{app}\_internal"

[Icons]
Name: "{group}\LocalLLM"; Filename: "{app}\localllmw.exe"
Name: "{userdesktop}\LocalLLM"; Filename: "{app}\localllmw.exe"; Tasks: desktopicon

[Registry]
Root: HKCU; Subkey: "Software\Classes\.gguf\OpenWithProgids"; ValueType: string; ValueName: "LocalLLM.gguf"; ValueData: ""; Flags: uninsdeletevalue; Tasks: associate
Root: HKCU; Subkey: "Software\Classes\LocalLLM.gguf"; ValueType: string; ValueData: "{cm:Model}"; Flags: uninsdeletekey; Tasks: associate
Root: HKCU; Subkey: "Software\Classes\LocalLLM.gguf\DefaultIcon"; ValueType: string; ValueData: "{app}\localllmw.exe,0"; Tasks: associate
Root: HKCU; Subkey: "Software\Classes\LocalLLM.gguf\shell\open\command"; ValueType: string; ValueData: """{app}\localllmw.exe"" ""%1"""; Tasks: associate
Root: HKCU; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; Tasks: onpath; Check: NotOnPath

[Run]
Filename: "{app}\localllmw.exe"; Description: "{cm:LaunchProgram,LocalLLM}"; Flags: nowait postinstall skipifsilent

[Code]
function NotOnPath: Boolean;
var
  Path: String;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    Path := '';
  Result := Pos(';' + Uppercase(ExpandConstant('{app}')) + ';', ';' + Uppercase(Path) + ';') = 0;
end;

procedure TakeOffPath;
var
  Path, Own: String;
  Place: Integer;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    exit;
  Own := ';' + ExpandConstant('{app}');
  Place := Pos(Uppercase(Own) + ';', Uppercase(Path) + ';');
  if Place > 0 then
  begin
    Delete(Path, Place, Length(Own));
    RegWriteExpandStringValue(HKCU, 'Environment', 'Path', Path);
  end;
end;

procedure CurUninstallStepChanged(CurUninstallStep: TUninstallStep);
var
  Status: Integer;
begin
  if CurUninstallStep <> usUninstall then
    exit;
  TakeOffPath;
  { everything stays unless somebody answers Yes; a silent uninstallation asks nobody }
  if not UninstallSilent and (MsgBox(ExpandConstant('{cm:RemoveModels}'), mbConfirmation, MB_YESNO or MB_DEFBUTTON2) = IDYES) then
    Exec(ExpandConstant('{app}\localllm.exe'), 'data remove --with-models --yes', '', SW_HIDE, ewWaitUntilTerminated, Status);
end;
